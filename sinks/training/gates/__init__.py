"""The gates, one module each: what a training set has to pass before it is published. See gate.py and judging.py."""
