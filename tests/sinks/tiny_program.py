"""Dayone with the tests' tiny product in place of a pack, as a program: `main` is its front door."""

from __future__ import annotations


def main() -> None:
    import personas.pack
    from sinks.cli import app
    from tests.sinks.making import tiny_pack

    personas.pack.load_pack = lambda reference: tiny_pack()
    app()
