"""What became of predictions, as callers and people tell it: read, checked, recorded."""
