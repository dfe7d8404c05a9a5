"""Who may ask: tokens, the default-deny gate, rates."""
