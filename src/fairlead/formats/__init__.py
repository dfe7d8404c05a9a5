"""One file a kind of model: how it is recognised, taken apart, written, saved; and the layout of what is served."""
