"""LLM agents: personas that think, walk sessions, write, and teach. Only `client.py` knows the Anthropic SDK."""
