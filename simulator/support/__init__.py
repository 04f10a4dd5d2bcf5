"""Support: who writes to it, what they write, and how an assistant should answer."""
