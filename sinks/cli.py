"""The commands of this room: `sink`, `sql`, `summary`, `check`, `dlq`. Options in, errors of ours out.

All work is done elsewhere. Imports nothing heavy at the top, so that `dayone --help` comes at once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from personas.arrow import leave_pandas_out
from personas.console import told_errors
from sinks.dead_letters.cli import app as dead_letters
from sinks.lake_cli import app as lake

if TYPE_CHECKING:
    from sinks.store import Store
    from sinks.summary import Summary

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(dead_letters, name="dlq", help="Dead letters: what could not be decoded. List, show, send again.")
app.add_typer(lake, name="lake", help="A lake's upkeep: its snapshots, small files into large ones, old ones away.")

STORE = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        help="A DuckDB file, ducklake:sqlite:FILE or ducklake:postgres:CONNECTION. [./dayone.duckdb]",
    ),
]


class Format(StrEnum):
    """How answers are printed."""

    table = "table"
    csv = "csv"
    json = "json"


class LogFormat(StrEnum):
    """How log lines are written."""

    text = "text"
    json = "json"


@app.command()
def sink(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="A pack that ships, or a directory with one.")],
    store: STORE = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Kafka brokers. [127.0.0.1:9092]")
    ] = None,
    until_completed: Annotated[
        bool, typer.Option("--until-completed", help="End by itself when the runs have ended and all is stored.")
    ] = False,
    batch_rows: Annotated[int | None, typer.Option(help="Rows of a table per transaction at most. [122880]")] = None,
    connect_seconds: Annotated[float | None, typer.Option(help="Give up on an absent broker after this. [30]")] = None,
    drain_seconds: Annotated[float | None, typer.Option(help="Time to drain the topics when stopped. [30]")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of /metrics and /health; 0: any. [9102]")] = None,
    serve: Annotated[
        bool | None, typer.Option("--serve/--no-serve", help="Answer `dayone sql` while writing. [yes]")
    ] = None,
    serve_port: Annotated[int | None, typer.Option(help="Port on which readers are answered; 0: any. [0]")] = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="Log lines for people or machines. [text]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [info]")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="The run that --until-completed waits for.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Ends of runs told before this UTC time are not waited for.")
    ] = None,
    print_summary: Annotated[bool, typer.Option("--summary", help="Print the summary at the end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object for machines.")] = False,
) -> None:
    """Keep what is on Kafka: read the topics of PACK into DuckDB until stopped (Ctrl-C drains, and loses nothing)."""
    with told_errors():
        from personas.logs import setup_logging
        from sinks.settings import load_settings, moment_of

        settings = load_settings(
            store=store, kafka_bootstrap_servers=bootstrap_servers, sink_batch_rows=batch_rows,
            sink_connect_seconds=connect_seconds, sink_drain_seconds=drain_seconds, sink_metrics_port=metrics_port,
            sink_serve=serve, sink_serve_port=serve_port,
            log_format=log_format.value if log_format else None, log_level=log_level,
        )  # fmt: skip
        setup_logging(settings.log_format, settings.log_level)

        leave_pandas_out()
        from personas.pack import load_pack
        from sinks.runtime import run_sink

        since = None if after is None else moment_of(after, "--after")
        found: list[Summary] = []

        def sum_up(store: Store) -> None:  # while it is open, and what was written last is still in memory
            from sinks.summary import summarize

            if print_summary:
                found.append(summarize(store, run))

        report = run_sink(
            settings, load_pack(pack), until_completed=until_completed, only_run=run, after=since,
            at_end=sum_up,
        )  # fmt: skip
        events = report.rows.get("events", 0)
        typer.echo(
            f"{events:,} events in {report.seconds:.1f} s ({report.events_per_second:,.0f}/s), "
            f"{report.dead_letters:,} dead letters, {report.duplicates.get('events', 0):,} known already; "
            f"ended: {report.ended}, {'all read' if report.drained else 'not all read'}.",
            err=True,
        )
        for each in found:
            from sinks.summary import closed

            _print_summary(closed(each, settings.place), as_json)
        if report.ended == "SIGINT":
            raise SystemExit(130)


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="One statement; without it, a prompt.")] = None,
    store: STORE = None,
    at: Annotated[
        str | None, typer.Option(metavar="SNAPSHOT|TIME", help="A lake as it was: a snapshot's number or a UTC time.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.table,  # noqa: A002
) -> None:
    """Ask the database: one statement, or a prompt; it cannot be changed. Start with: dayone sql .tables

    A sink that writes the store just now is asked in its place, and answers each statement from one snapshot.
    """
    with told_errors():
        from sinks import query as asking
        from sinks.attach import opened
        from sinks.settings import load_settings

        with opened(load_settings(store=store).place, at or "") as database:
            if query is None:
                asking.prompt(database, format.value)
            else:
                asking.answer(database, asking.TABLES if query.strip() == ".tables" else query, format.value)


@app.command()
def summary(
    store: STORE = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only this run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Say what is in the database: users, sessions, events, funnel, top items, dead letters."""
    with told_errors():
        from sinks.settings import load_settings
        from sinks.store import Store
        from sinks.summary import summarize

        with Store.open(load_settings(store=store).place, read_only=True) as database:
            found = summarize(database, run)
        _print_summary(found, as_json)


@app.command()
def check(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="The pack whose rules have to hold.")],
    store: STORE = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only this run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list for machines.")] = False,
) -> None:
    """Judge every stored event by the product's preconditions, by SQL alone; exit code 1 where one does not hold."""
    with told_errors():
        from dataclasses import asdict

        from personas.pack import load_pack
        from sinks.legality import violations
        from sinks.settings import load_settings
        from sinks.store import Store

        product = load_pack(pack).product
        with Store.open(load_settings(store=store).place, read_only=True) as database:
            stored = "SELECT DISTINCT run_id FROM events WHERE product = ? ORDER BY ALL"
            runs = [run] if run else database.query(stored, [product.name]).column("run_id").to_pylist()
            found = [each for run_id in runs for each in violations(database.query, product, run_id)]
        if as_json:
            import json

            typer.echo(json.dumps([asdict(each) for each in found], default=str))
        else:
            for each in found[:20]:
                typer.echo(f"{each}")
            typer.echo(f"{len(found):,} violations in {len(runs)} run(s) of {product.name}")
        if found:
            raise typer.Exit(1)


def _print_summary(found: Summary, as_json: bool) -> None:
    from sinks import summary as summing

    if as_json:
        import json

        typer.echo(json.dumps(summing.as_json(found), ensure_ascii=False, indent=2))
        return
    from rich.console import Console

    summing.show(found, Console(highlight=False))
