"""The demonstration: a year of real flights, a model trained on its winter, and the spring replayed as live traffic."""
