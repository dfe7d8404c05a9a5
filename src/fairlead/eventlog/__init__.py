"""The event log: every answer, appended before it is sent; read back whole, whatever happened in between."""
