"""What people see: the end user's page, the index, the API's description."""
