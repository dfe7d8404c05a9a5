"""Answers for one version: compiled in this process, or the original in a worker process."""
