"""A tabular model in raw units: the data classes, the evaluator that defines them, hard rows, parity."""
