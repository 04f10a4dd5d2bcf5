"""A small language model on this machine behind the Messages API, so that agents run without a key and a network."""
