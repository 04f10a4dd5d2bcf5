"""Every measure, found by itself: a class with a `name`, a `goal` and a `compute` in a module of this folder is one."""
