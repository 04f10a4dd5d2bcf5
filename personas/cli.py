"""The commands about packs: list them, check one, describe the file formats, begin a new one.

Results go to stdout as plain text, or as JSON with `--json`; there is no colour and no decoration, so what a person
reads can be piped as it is. Deliberate errors pass through to the front door, which prints them and sets the exit
code (3 for a pack that is wrong). Knows nothing of runs, Kafka or databases. Everything heavy is imported late.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personas.errors import PackError

if TYPE_CHECKING:
    from personas.pack import Pack

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

SHORT = 12
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class Kind(StrEnum):
    """The kinds of file that have a JSON Schema."""

    HELP = "help"
    PERSONA = "persona"
    PRODUCT = "product"


@app.command()
def packs(as_json: AsJson = False) -> None:
    """List the packs that ship with Dayone."""
    from personas.pack import load_pack, shipped_packs

    found = [summary(load_pack(name)) for name in shipped_packs()]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    titles = ("name", "title", "personas", "events", "items", "fingerprint")
    rows = [[str(pack[title]) for title in titles] for pack in found]
    typer.echo(table(titles, [[*row[:-1], row[-1][:SHORT]] for row in rows]))


@app.command()
def validate(
    pack: Annotated[str, typer.Argument(help="The name of a pack that ships, or a folder.")], as_json: AsJson = False
) -> None:
    """Check a pack: every mistake with its file, line and field. Exit code 3 when there is one."""
    from personas.pack import load_pack

    try:
        loaded = load_pack(pack)
    except PackError as error:
        if not as_json:
            raise
        faults = [
            {"file": f.file, "line": f.line, "field": f.field, "found": f.found, "expected": f.expected}
            for f in error.faults
        ]
        typer.echo(json.dumps({"valid": False, "message": error.message, "faults": faults}, indent=2))
        raise typer.Exit(error.exit_code) from None
    found = summary(loaded)
    if as_json:
        typer.echo(json.dumps({"valid": True, **found}, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{found['name']} is valid: {found['title']}")
    for label in ("personas", "screens", "events", "intents", "problems", "items", "categories", "help_texts"):
        typer.echo(f"  {label.replace('_', ' '):<12}{found[label]}")
    typer.echo(f"  fingerprint {found['fingerprint']}")


@app.command()
def schema(kind: Annotated[Kind, typer.Argument(help="Which kind of file.")]) -> None:
    """Print the JSON Schema of product.yaml, help.yaml or a persona file, for editors.

    Put `# yaml-language-server: $schema=FILE` on the first line of a YAML file and the editor completes and checks it.
    """
    from personas.schema import json_schema

    typer.echo(json.dumps(json_schema(kind.value), indent=2, ensure_ascii=False))


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty or does not exist yet.")],
) -> None:
    """Begin a pack for your own product: a small one with comments that works at once."""
    from personas.scaffold import create_pack

    made = create_pack(directory)
    typer.echo(f"Made the pack {made.product.name} in {directory}. It works as it is; now make it yours:")
    typer.echo(f"  edit            {directory / 'product.yaml'}")
    typer.echo(f"  dayone validate {quoted(directory)}")


def summary(pack: Pack) -> dict[str, Any]:
    """What there is to say about a pack in a line: its names, counts and fingerprint."""
    product = pack.product
    return {
        "name": product.name,
        "version": product.version,
        "title": product.title,
        "personas": len(pack.personas),
        "screens": len(product.screens),
        "events": len(product.events),
        "intents": len(product.intents),
        "problems": len(product.problems),
        "items": len(pack.catalog.items),
        "categories": len(pack.catalog.categories),
        "help_texts": len(pack.help.texts) if pack.help else 0,
        "fingerprint": pack.fingerprint,
        "folder": str(pack.folder),
    }


def table(titles: tuple[str, ...], rows: list[list[str]]) -> str:
    """Plain text columns, as wide as their longest entry; columns of numbers are flush right."""
    columns = list(zip(titles, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [bool(rows) and all(cell.isdigit() for cell in column[1:]) for column in columns]
    lines = []
    for row in (list(titles), *rows):
        cells = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def quoted(path: Path) -> str:
    """The path as a shell takes it."""
    from shlex import quote

    return quote(str(path))
