"""Measurements of the whole program, each beside its raw limit: `python -m tests.bench`."""
