"""The commands of `dayone lake`: snapshots, compact, expire. Options in, errors of ours out.

All work is done in maintenance.py. Imports nothing heavy at the top.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from personas.console import told_errors

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

STORE = Annotated[
    str | None,
    typer.Option("--store", metavar="STORE", help="ducklake:sqlite:FILE or ducklake:postgres:CONNECTION."),
]
AS_JSON = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


@app.command()
def snapshots(
    store: STORE = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: AS_JSON = False,
) -> None:
    """List what the lake was: each transaction made a snapshot, which `dayone sql --at NUMBER` still answers from."""
    with told_errors():
        from sinks.maintenance import snapshots as found_in
        from sinks.settings import load_settings
        from sinks.store import Store

        with Store.open(load_settings(store=store).place, read_only=True) as opened:
            found = found_in(opened.database, limit)
        if as_json:
            rows = [{"snapshot": each.number, "time": each.time.isoformat(), "changes": each.changes} for each in found]
            typer.echo(json.dumps(rows))
            return
        for each in found:
            changes = "; ".join(f"{what.replace('_', ' ')}: {', '.join(to)}" for what, to in each.changes.items())
            typer.echo(f"{each.number:>8}  {each.time:%Y-%m-%d %H:%M:%S}  {changes}")


@app.command()
def compact(store: STORE = None, as_json: AS_JSON = False) -> None:
    """Put small files together into large ones. Sinks may go on writing, and readers reading."""
    with told_errors():
        from sinks.maintenance import compact as compacted
        from sinks.settings import load_settings
        from sinks.store import Store

        with Store.open(load_settings(store=store).place) as opened:
            done = compacted(opened.database)
        if as_json:
            typer.echo(json.dumps({"files_before": done.files_before, "files_after": done.files_after}))
        else:
            typer.echo(f"{done.files_before:,} files became {done.files_after:,}")


@app.command()
def expire(
    store: STORE = None,
    older_than_days: Annotated[float, typer.Option(min=0, help="Forget snapshots that are older than this.")] = 7.0,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="Remove files that no snapshot has needed for so long; 0: at once.")
    ] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Forget old snapshots, and remove the files that only they needed. The newest state stays whole."""
    with told_errors():
        from datetime import timedelta

        from sinks.maintenance import expire as expired
        from sinks.settings import load_settings
        from sinks.store import Store

        with Store.open(load_settings(store=store).place) as opened:
            days, hours = timedelta(days=older_than_days), timedelta(hours=grace_hours)
            done = expired(opened.database, days, grace=hours, dry_run=dry_run)
        if as_json:
            typer.echo(json.dumps({"snapshots": done.snapshots, "removed": done.removed, "dry_run": dry_run}))
        else:
            would = "would be " if dry_run else ""
            typer.echo(f"{done.snapshots:,} snapshots {would}forgotten, {len(done.removed):,} files {would}removed")
