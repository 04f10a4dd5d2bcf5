"""The whole program: real processes, a real broker, a real database."""
