"""A pack made of a core: what can be done, with what, and who comes, as far as enough real users showed it."""
