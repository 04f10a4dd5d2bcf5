"""The commands about gates: `gates` lists them, `quarantine` tells of runs that are put aside and releases them."""

from __future__ import annotations

from typing import Annotated

import typer

from personas.console import told_errors

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
quarantine = typer.Typer(no_args_is_help=True, help="Runs that a gate put aside: list them, or let one in again.")
app.add_typer(quarantine, name="quarantine")

STORE = Annotated[str | None, typer.Option("--store", metavar="FILE", help="The DuckDB file. [./dayone.duckdb]")]
JSON = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


@app.command()
def gates(as_json: JSON = False) -> None:
    """List the gates: what each checks, its figure, and how high that may be."""
    from sinks.training.gates.judging import all_gates

    told = [
        {"gate": gate.name, "checks": gate.checks, "figure": gate.unit, "threshold": gate.threshold}
        for gate in all_gates().values()
    ]
    if as_json:
        import json

        typer.echo(json.dumps(told, indent=2))
        return
    for each in told:
        typer.echo(f"{each['gate']}: {each['checks']}\n  at most {each['threshold']:g} {each['figure']}")


@quarantine.command("list")
def list_runs(store: STORE = None, as_json: JSON = False) -> None:
    """List the runs that were put aside, and why; and those that were released, and why."""
    with told_errors():
        from sinks.settings import load_settings
        from sinks.store import Store
        from sinks.training.quarantine import listed

        with Store.open(load_settings(store=store).place, read_only=True) as database:
            runs = listed(database)
        if as_json:
            import json

            typer.echo(json.dumps(runs, indent=2))
            return
        for run in runs:
            typer.echo(f"{run['run_id']}  put aside {run['quarantined']}: {run['reason']}")
            if run["released"]:
                typer.echo(f"  released {run['released']}: {run['release_reason']}")
        if not runs:
            typer.echo("No run is in quarantine.")


@quarantine.command("release")
def release_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run, as `dayone quarantine list` names it.")],
    reason: Annotated[str, typer.Option(help="Why it may go into training sets; kept in the audit log.")],
    store: STORE = None,
) -> None:
    """Let a run into training sets again. What gates say of it no longer stops a build."""
    with told_errors():
        from sinks.settings import load_settings
        from sinks.store import Store
        from sinks.training.quarantine import release

        with Store.open(load_settings(store=store).place) as database:
            release(database, run, reason)
        typer.echo(f"{run} goes into training sets again.")
