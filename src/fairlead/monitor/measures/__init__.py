"""What is measured of a window, a file a question: pure functions, numbers in, tests or findings out. `case` lists what is asked of every window."""
