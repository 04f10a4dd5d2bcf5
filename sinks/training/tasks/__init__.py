"""The tasks, one module each. A new one needs nothing but its file: see task.py for what it has to be."""
