"""Texts quoted for SQL, where a value cannot be bound: names, file names, comments. Knows no database."""

from __future__ import annotations


def identifier(name: str) -> str:
    """A name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text quoted for SQL, for the statements that cannot be bound (views, comments)."""
    return "'" + text.replace("'", "''") + "'"
