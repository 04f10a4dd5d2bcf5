"""What the simulator's commands do, once their options are read: simulate, broker, control. Speaks to the terminal.

Progress goes to standard error, results to standard output; both are plain where there is no terminal. What takes long
to load is imported where it is used: `dayone up` has other processes to start first.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from personas.arrow import leave_pandas_out
from personas.errors import ControlError, SettingsError
from personas.logs import setup_logging
from simulator.broker import EmbeddedBroker
from simulator.interruption import signals_to
from simulator.options import RunOptions
from simulator.order import Order, order_of, run_of
from simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from personas.provenance import TutorReport
    from simulator.control import Command
    from simulator.run import Run

INTERRUPTED = 130


def simulate_command(pack_name: str, options: RunOptions, shard: str, settings: SimulatorSettings) -> None:
    """`dayone simulate`."""
    setup_logging(settings.log_format, settings.log_level)
    wanted, json_output = run_of(pack_name, options, settings), options.json_output
    leave_pandas_out()
    order = order_of(wanted, options, settings, shard)
    from simulator.daemon import run_order

    if settings.kafka_bootstrap_servers is not None:
        with progress_of(order) as report:
            run = run_order(order, settings, settings.connection, report=report)
        print_outcome(run, json_output)
    else:
        with EmbeddedBroker() as broker:
            print_note(f"embedded broker at {broker.bootstrap_servers} (in memory: its topics end with this process)")
            with progress_of(order) as report, broker.explaining():
                memory = lambda: broker.memory_bytes  # noqa: E731 - a reading, not a value
                run = run_order(order, settings, broker.connection, report=report, memory_bytes=memory)
            print_outcome(run, json_output)
            if run.state == "completed":
                print_note(f"the topics stay at {broker.bootstrap_servers} until Ctrl-C; read them with, for example:")
                print_note(f"  dayone sink {pack_name} --bootstrap-servers {broker.bootstrap_servers}")
                wait_for_signal(broker)
    if run.state == "stopped":
        raise typer.Exit(INTERRUPTED)


def broker_command(port: int) -> None:
    """`dayone broker`."""
    with EmbeddedBroker(port=port) as broker:
        typer.echo(broker.bootstrap_servers)
        print_note("in memory; Ctrl-C ends it and its topics. Use it with --bootstrap-servers, or")
        print_note(f"  export DAYONE_KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}")
        wait_for_signal(broker)


def wait_for_signal(broker: EmbeddedBroker) -> None:
    """Until SIGINT or SIGTERM. BrokerError when the broker dies meanwhile."""
    stop = threading.Event()
    with signals_to(stop):
        while not stop.wait(1.0):
            broker.check()


CONTROL_FORMS: dict[str, dict[str, Any]] = {
    "pause": {"command": "pause"},
    "resume": {"command": "resume"},
    "stop": {"command": "stop"},
    "arrival-rate": {"command": "set_arrival_rate"},
    "problem-rate": {"command": "set_problem_rate"},
}


def control_command(
    name: str, value: float | None, run: str | None, timeout: float, settings: SimulatorSettings, json_output: bool
) -> None:
    """`dayone control`: exit code 7 when a run refuses, 4 when none answers."""
    if name not in CONTROL_FORMS:
        raise SettingsError(f"unknown command {name!r}", hint=f"One of: {', '.join(CONTROL_FORMS)}.")
    if name.endswith("-rate") != (value is not None):
        wants = "a factor, such as 2" if name.endswith("-rate") else "no value"
        raise SettingsError(f"{name} takes {wants}", hint="Try: dayone control problem-rate 10")
    from simulator.control import send_command

    replies = send_command(settings.connection, _control_message(name, value, run), timeout=timeout)
    if json_output:
        typer.echo(json.dumps([reply.model_dump(mode="json") for reply in replies]))
    for reply in replies:
        if not json_output:
            typer.echo(f"{reply.run_id}: {'done' if reply.accepted else 'refused: ' + reply.reason}")
    if not replies:
        raise ControlError(f"no running simulator answered within {timeout:g} s")
    if any(not reply.accepted for reply in replies):
        raise typer.Exit(ControlError.exit_code)


def _control_message(name: str, value: float | None, run: str | None) -> Command:
    from pydantic import ValidationError

    from simulator.control import parse_command

    body = {**CONTROL_FORMS[name], "run_id": run} | ({} if value is None else {"value": value})
    try:
        return parse_command(json.dumps(body).encode())
    except (ControlError, ValidationError) as error:
        raise SettingsError(str(error)) from None


def print_note(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    typer.echo(text, err=True)


@contextmanager
def progress_of(order: Order) -> Iterator[Any]:
    """A progress bar over the virtual days of the backfill, on standard error; nothing where that is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda run: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"),
        TextColumn("{task.fields[events]:,} events"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(order.identity.run_id, total=max(1, round(order.plan.days)), events=0)

        def report(run: Run) -> None:
            day = run.simulation.played_until / 86_400_000
            total = max(1, round(order.plan.days)) if day <= order.plan.days else None
            progress.update(task, completed=int(day), total=total, events=run.simulation.progress.total_events)

        yield report


def outcome(run: Run) -> dict[str, Any]:
    """What a run did, for machines."""
    progress = run.simulation.progress
    return {
        "run_id": run.identity.run_id,
        "state": run.state,
        "virtual_time": run.manifest().virtual_time.isoformat(),
        "events": progress.total_events,
        "messages": progress.messages,
        "problems": progress.problems,
        "already_on_topics_until": run.resumed_at.isoformat() if run.resumed_until else None,
    } | ({} if run.tutoring is None else {"tutor": run.tutoring.report(run.identity.start).model_dump(mode="json")})


def print_outcome(run: Run, json_output: bool) -> None:
    """The end of `dayone simulate`."""
    done = outcome(run)
    if json_output:
        typer.echo(json.dumps(done))
        return
    resumed = f" (went on from {done['already_on_topics_until']})" if run.resumed_until else ""
    if run.state == "completed" and run.resumed_until and not any(done["messages"].values()):
        typer.echo(f"run {done['run_id']} was completed before: the topics hold all of it")
        return
    typer.echo(f"run {done['run_id']} {done['state']}: {done['events']:,} events sent{resumed}")
    for topic, count in done["messages"].items():
        typer.echo(f"  {topic}: {count:,}")
    if said := nobody_came(run):
        typer.echo(said)
    if run.tutoring is not None:
        print_tutor(run.tutoring.report(run.identity.start))
    sys.stdout.flush()


def nobody_came(run: Run) -> str:
    """Why a run that was played to its end has no event: its users all come later. Empty where that is not so."""
    from personas.population import DAY_MS

    population = run.simulation.population
    if run.state != "completed" or run.resumed_until or run.simulation.progress.total_events or not len(population):
        return ""
    first = int(population.signed_up.min()) // DAY_MS + 1
    return (
        f"nobody came in these {run.plan.days:g} days: the first of {len(population):,} users comes on day {first:,}. "
        f"Give --days {2 * first:,} or more, or more --users."
    )


def print_tutor(report: TutorReport) -> None:
    """What agents did and cost."""
    ceiling = "" if report.ceiling is None else f" of {report.ceiling:g}"
    sessions, refused = sum(report.outcomes.values()), sum(report.refused.values())
    typer.echo(
        f"agents: {sessions:,} sessions, {report.decisions:,} decisions, {report.calls:,} calls, {report.replayed:,} "
        f"repeated from recordings, {report.dollars:.4f}{ceiling} dollars"
    )
    ended = ", ".join(f"{name} {number:,}" for name, number in sorted(report.outcomes.items()))
    if report.plans:
        typer.echo(f"  {report.plans:,} plans, {report.duplicate_plans:,} refused because they were nearly the same")
    typer.echo(f"  ended: {ended or 'none'}; answers refused: {refused:,}")
    if report.conversations:
        typer.echo(f"  {report.conversations:,} conversations with support were spoken")
    for warning in report.warnings:
        typer.echo(f"  warning: {warning}")
    if report.stepped_down_at is not None:
        typer.echo(
            f"  the ceiling was reached at {report.stepped_down_at:%Y-%m-%d %H:%M} of virtual time: from there on "
            f"{report.stepped_down:,} users were played from tables"
        )
