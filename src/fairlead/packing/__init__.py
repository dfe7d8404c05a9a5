"""A model becomes a bundle: its schema inferred, its compiled forms proven against the original, its origin written down."""
