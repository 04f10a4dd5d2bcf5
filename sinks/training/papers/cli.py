"""The commands `dayone keys` and `dayone audit`. Options in, errors of ours out; all work is done elsewhere.

Imports nothing heavy at the top, so that `dayone --help` comes at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from personas.console import told_errors

keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

KEYS = Annotated[str | None, typer.Option("--keys", metavar="DIR", help="Where the key is. [~/.config/dayone]")]
JSON = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


@keys.command("new")
def new(folder: KEYS = None, as_json: JSON = False) -> None:
    """Make a key: a private file for you alone, and a public one to give away. `dayone build` signs with it."""
    with told_errors():
        from sinks.settings import load_settings
        from sinks.training.papers.keys import new_key
        from sinks.training.papers.ordering import keys_of

        place = keys_of(load_settings(keys=folder))
        new_key(place)
        _tell_key(str(place), as_json)


@keys.command("show")
def show(folder: KEYS = None, as_json: JSON = False) -> None:
    """Show the public key: its name, and the file to give to whoever wants to check what you signed."""
    with told_errors():
        from sinks.settings import load_settings
        from sinks.training.papers.ordering import keys_of

        _tell_key(str(keys_of(load_settings(keys=folder))), as_json)


def _tell_key(folder: str, as_json: bool) -> None:
    from pathlib import Path

    from sinks.training.papers.keys import PUBLIC, public_key

    key = public_key(Path(folder))
    path = str(Path(folder) / PUBLIC)
    if as_json:
        import json

        typer.echo(json.dumps({"key": key.name, "public_key": path, "pem": key.pem}))
    else:
        typer.echo(f"{key.name}\n{path}\n{key.pem}", nl=False)
