"""The operator's door of the control half: on a port of its own, behind the gate, with a token even on loopback."""
