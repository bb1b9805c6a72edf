"""Fairness of the shipped code, simulated: `python benchmarks/fairness/run.py`."""
