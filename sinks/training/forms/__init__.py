"""The forms, one module each. A new one needs nothing but its file: see form.py for what it has to be."""
