"""Differential privacy for a whole user: noisy counts of a core, and a log drawn from them, to fit a model on."""
