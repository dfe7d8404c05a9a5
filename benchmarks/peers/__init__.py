"""The servers Fairlead is measured against, each as its own documentation says to write it."""
