"""The doors: one protocol each. They translate; the gateway answers."""
