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


audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

DIR = Annotated[str, typer.Argument(metavar="DIR", help="A version: <out>/<task>/<version>.")]
STORE = Annotated[str | None, typer.Option("--store", metavar="STORE", help="The store that it was built from.")]


@audit.command("verify")
def verify_command(
    directory: DIR,
    store: STORE = None,
    public_key: Annotated[
        str | None, typer.Option(metavar="FILE", help="The set has to be signed by this key.")
    ] = None,
    repeat: Annotated[bool, typer.Option("--repeat", help="Make the set again from the store, and compare.")] = False,
    core: Annotated[str | None, typer.Option(metavar="PATH", help="Real rows to repeat it with, as for build.")] = None,
    map_file: Annotated[str | None, typer.Option("--map", metavar="FILE", help="The core's map, as for build.")] = None,
    core_key: Annotated[str | None, typer.Option(metavar="FILE", help="Key of the core's pseudonyms.")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Accept a set that nobody signed.")] = False,
    as_json: JSON = False,
) -> None:
    """Check signature, sums, lineage and audit log; exit code 10 where something was changed."""
    with told_errors():
        from pathlib import Path

        from personas.errors import AuditError
        from sinks.training.papers.asking import evidence_in
        from sinks.training.papers.keys import public_key as key_in
        from sinks.training.papers.reading import published
        from sinks.training.papers.verify import verify

        found = published(Path(directory))
        verdict = verify(
            found, expected=key_in(Path(public_key)) if public_key else None, unsigned=unsigned,
            evidence=evidence_in(store) if store else None,
        )  # fmt: skip
        if repeat:
            from sinks.settings import load_settings
            from sinks.store import Store
            from sinks.training.core.wishes import Wishes, core_of
            from sinks.training.papers.repeating import repeat_faults

            place = load_settings(store=store).place
            wishes = Wishes(core, Path(map_file) if map_file else None, Path(core_key) if core_key else None)
            with Store.open(place, read_only=True, memory_limit="3GB") as database:
                faults = repeat_faults(found, database, core_of(wishes, place))
            verdict.look("files: made again from the store they are the same", faults)
        if as_json:
            import json

            told = {"set": found.subject, "whole": not verdict.faults, "signed_by": verdict.signed_by}
            typer.echo(json.dumps({**told, "checks": verdict.checks, "faults": verdict.faults}))
        elif not verdict.faults:
            for check in verdict.checks:
                typer.echo(f"ok  {check}")
            typer.echo(f"{found.subject} is whole. Signed by: {verdict.signed_by or 'nobody'}.")
            if verdict.signed_by and not public_key:
                typer.echo("The set itself names that key; with --public-key you say whose it has to be.")
            if not store:
                typer.echo("Lineage and audit log were not looked at: give --store.")
        if verdict.faults:
            raise AuditError(
                f"{directory} is not what it was:\n  " + "\n  ".join(verdict.faults),
                hint="Do not use it. Build it again, or ask its publisher for a whole one.",
            )


@audit.command("show")
def show_row(
    directory: DIR,
    row: Annotated[int | None, typer.Argument(metavar="ROW", help="Number of the row, from 0.", min=0)] = None,
    split: Annotated[str | None, typer.Option(help="Count the rows of this split alone.")] = None,
    key: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="The row by its key columns.")] = None,
    store: STORE = None,
    as_json: JSON = False,
) -> None:
    """Tell where one row comes from: persona, run, generator, model, prompt, product version, session, events."""
    with told_errors():
        from pathlib import Path

        from personas.errors import TrainingError
        from sinks.training.papers.asking import asking
        from sinks.training.papers.reading import published
        from sinks.training.papers.tracing import row_at, rows_with, trace

        found = published(Path(directory))
        keys = dict(each.split("=", 1) for each in key or [] if "=" in each)
        if (row is None) == (not keys):
            raise TrainingError("Which row?", hint="Give its number, or --key NAME=VALUE (may be repeated).")
        told = row_at(found, row, split) if row is not None else rows_with(found, keys)[0]
        if store:
            with asking(store) as ask:
                answer = trace(found, told, ask)
        else:
            answer = trace(found, told)
        _tell_trace(answer, as_json)


def _tell_trace(answer: dict[str, object], as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps(answer, default=str, ensure_ascii=False))
        return
    for name, value in answer.items():
        if isinstance(value, dict):
            value = ", ".join(f"{inner} {each}" for inner, each in value.items()) or "none"  # noqa: PLW2901
        if name == "events" and isinstance(value, list):
            typer.echo(f"{'events':18} {len(value)}")
            for event in value:
                place = f"partition {event['topic_partition']}, offset {event['topic_offset']}"
                typer.echo(f"  {event['time']}  {event['type']:24} {event['event_id']} ({place})")
            continue
        if isinstance(value, list):
            value = ", ".join(map(str, value)) or "none"  # noqa: PLW2901
        typer.echo(f"{name.replace('_', ' '):18} {value}")
    if "persona" not in answer:
        typer.echo("Persona, session and events are in the store: give --store.")


@audit.command("log")
def show_log(
    store: STORE = None,
    action: Annotated[str | None, typer.Option(help="Only run, build, export, gate, quarantine or release.")] = None,
    as_json: JSON = False,
) -> None:
    """List what happened to a store, in order, and whether the chain of hashes is whole; exit code 10 where not."""
    with told_errors():
        import json
        from dataclasses import asdict

        from personas.errors import AuditError
        from sinks.audit_log import broken
        from sinks.training.papers.asking import evidence_in

        found = evidence_in(store)
        shown = [entry for entry in found.entries if action in (None, entry.action)]
        for entry in shown:
            if as_json:
                typer.echo(json.dumps({**asdict(entry), "details": json.loads(entry.details)}, default=str))
            else:
                said = f"{entry.sequence:5} {entry.time:%Y-%m-%d %H:%M:%S}  {entry.action:10} {entry.subject}"
                typer.echo(f"{said}  {entry.program}, {entry.who}  {entry.hash[:12]}")
        if found.waiting and not as_json:
            typer.echo(f"{len(found.waiting)} more wait beside the store for the next program that writes it.")
        if faults := broken(found.entries, found.heads):
            raise AuditError("The audit log was changed:\n  " + "\n  ".join(faults), hint="Trust a backup instead.")
        if not as_json:
            typer.echo(f"{len(found.entries)} entries, and the chain is whole.")


@audit.command("report")
def report_command(directory: DIR, as_json: JSON = False) -> None:
    """Print what an auditor asks: origin, share of synthetic, purpose, gaps, personal data, terms, how to repeat it."""
    with told_errors():
        import json
        from pathlib import Path

        from sinks.training.papers.keys import signer_of
        from sinks.training.papers.reading import published
        from sinks.training.papers.report import markdown_of, report_of

        found = published(Path(directory))
        signer = signer_of(found.text, found.signature).name if found.signature is not None else None
        report = report_of(found, signer)
        typer.echo(json.dumps(report, indent=1, ensure_ascii=False) if as_json else markdown_of(report), nl=as_json)
