"""`dayone up` and `dayone demo`: broker, simulator and sink in one command, from a pack to a DuckDB file.

The sink is a process of its own, started with the same program: it shares nothing with the simulator but Kafka, here
as anywhere. It is started as soon as the pack is read and the broker answers, so that its libraries are loaded on one
core while the simulator's are loaded on another.

Children get no Ctrl-C from the terminal; they are ended in order, so that nothing is lost: first the simulator stops
and says so in the run's manifest, then the sink stores what is on the topics and ends by itself, then the broker goes.
A signal that comes before or after the simulator's own time does the same. Should this process be killed, a guardian
kills the sink (see `broker`): its database is consistent at any time.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from personas.arrow import leave_pandas_out
from personas.connection import KafkaConnection
from personas.errors import DayoneError, StoreError
from personas.logs import setup_logging
from simulator.broker import EmbeddedBroker, dismiss, guard
from simulator.commands import INTERRUPTED, nobody_came, outcome, print_note, print_tutor, progress_of
from simulator.interruption import signals_to
from simulator.options import RunOptions
from simulator.order import Order, order_of, run_of
from simulator.settings import SimulatorSettings, child_environment

if TYPE_CHECKING:
    from simulator.run import Run

MEGABYTE = 1_000_000


def up_command(pack_name: str, options: RunOptions, store: Path, port: int, settings: SimulatorSettings) -> None:
    """Everything from `pack_name` to `store`; prints the sink's summary at the end."""
    setup_logging(settings.log_format, "warning" if settings.log_level == "info" else settings.log_level)
    begun = datetime.now(UTC)
    wanted, json_output = run_of(pack_name, options, settings), options.json_output
    run_id = wanted[1].run_id
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(signals_to(stop))
        broker: EmbeddedBroker | None = None
        connection = settings.connection
        if settings.kafka_bootstrap_servers is None:
            broker = stack.enter_context(EmbeddedBroker(port=port))
            connection = broker.connection
        print_note(f"{run_id}: Kafka at {connection.bootstrap_servers}, store {store}")
        print_note(f"ask while it runs: dayone sql --store {shlex.quote(str(store))}")
        words = ["--store", str(store), "--run", run_id, "--after", begun.isoformat()]
        words += ["--json"] if json_output else []
        sink = stack.enter_context(sink_process([pack_name, *words], connection, settings, json_output))
        leave_pandas_out()
        run = _play(order_of(wanted, options, settings), settings, connection, broker, sink, stop)
        summary = finish_sink(sink, broker)
        memory = broker.memory_bytes if broker else 0
    _conclude(run, summary, memory, settings, json_output)


def _play(
    order: Order, settings: SimulatorSettings, connection: KafkaConnection, broker: EmbeddedBroker | None,
    sink: subprocess.Popen[bytes], stop: threading.Event,
) -> Run:  # fmt: skip
    from simulator.daemon import run_order

    with progress_of(order) as show:

        def report(run: Run) -> None:
            if run.state == "started" and sink.poll() is not None:  # after the end of the run it may be the first
                raise ended_early(sink)
            if broker is not None:
                broker.check()
            show(run)

        memory = (lambda: broker.memory_bytes) if broker else (lambda: 0)
        with broker.explaining() if broker else nullcontext():
            return run_order(order, settings, connection, report=report, memory_bytes=memory, stop=stop)


@contextmanager
def sink_process(
    words: list[str], connection: KafkaConnection, settings: SimulatorSettings, captured: bool
) -> Iterator[subprocess.Popen[bytes]]:
    """`dayone sink` with these words, which ends by itself when the run has ended and everything is stored, and is
    terminated on an error. What it prints can be read from the process where it is `captured`. It has to be told not to
    wait for the end of an earlier start of the run, which the topics may hold and the store may not."""
    arguments = [
        "sink", *words, "--bootstrap-servers", str(connection.bootstrap_servers), "--until-completed",
        "--summary", "--log-format", settings.log_format,
    ]  # fmt: skip
    if settings.simulator_metrics_port == 0:
        arguments += ["--metrics-port", "0"]
    level = "warning" if settings.log_level == "info" else settings.log_level
    process = subprocess.Popen(
        dayone(*arguments), start_new_session=True, env=child_environment(connection, log_level=level),
        stdout=subprocess.PIPE if captured else None,
    )  # fmt: skip
    guardian = guard(process.pid)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        dismiss(guardian)


def dayone(*arguments: str) -> list[str]:
    """The command line of this very program."""
    return [sys.executable, "-m", "dayone", *arguments]


def finish_sink(sink: subprocess.Popen[bytes], broker: EmbeddedBroker | None = None) -> bytes:
    """Wait until the sink has stored everything; what it printed, where that is captured. StoreError when it failed,
    BrokerError when the broker has died: the sink would wait for it to come back, and this one cannot."""
    from rich.console import Console

    if Console(stderr=True).is_terminal and sink.stdout is None:
        print_note("storing what is still on the topics ...")
    printed: bytes | None = None
    while sink.returncode is None:
        with suppress(subprocess.TimeoutExpired):
            printed, _ = sink.communicate(timeout=1.0)
            break
        if broker is not None:
            broker.check()
    if sink.returncode != 0:
        raise ended_early(sink)
    return printed or b""


def ended_early(sink: subprocess.Popen[bytes]) -> DayoneError:
    """What to say when the sink is gone. It has told the reason on standard error; its exit code is passed on."""
    error = StoreError(f"the sink ended with exit code {sink.returncode}; its message stands above")
    error.exit_code = sink.returncode if sink.returncode > 0 else StoreError.exit_code
    return error


def _conclude(run: Run, summary: bytes, memory: int, settings: SimulatorSettings, json_output: bool) -> None:
    if json_output:
        done: dict[str, Any] = {**outcome(run), "embedded_broker_bytes": memory, "summary": json.loads(summary)}
        typer.echo(json.dumps(done))
    elif run.tutoring is not None:
        print_tutor(run.tutoring.report(run.identity.start))
    if not json_output and (said := nobody_came(run)):
        typer.echo(said)
    if memory and not json_output:
        typer.echo(f"The embedded broker held {memory / MEGABYTE:,.0f} MB in memory.")
        if memory > settings.embedded_broker_memory_mb * MEGABYTE:
            typer.echo("That is a lot for one process: for runs of this size give --bootstrap-servers of a Kafka.")
    if run.state == "stopped":
        raise typer.Exit(INTERRUPTED)
