"""A core, the real data that a user supplies: how it is mapped, found and read, for every room that takes one."""
