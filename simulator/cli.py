"""The simulator's commands: simulate, up, demo, broker, control, asyncapi, explain. Heavy imports are in the functions.

Options override the environment (DAYONE_*), which overrides the defaults; `simulator.settings` reads it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

PackName = Annotated[str, typer.Argument(help="A pack that ships (dayone packs) or a folder with product.yaml.")]
Servers = Annotated[str | None, typer.Option("--bootstrap-servers", help="Kafka brokers, HOST:PORT[,HOST:PORT...].")]
Users = Annotated[int, typer.Option(min=1, max=50_000_000, help="Everybody who will ever sign up.")]
Days = Annotated[float, typer.Option(min=0.0, max=36500.0, help="Virtual days to play at full speed.")]
Start = Annotated[str, typer.Option(help="The first virtual day, UTC: 2026-01-01 or 2026-01-01T06:00.")]
Seed = Annotated[int, typer.Option(min=0, help="Another seed is another world.")]
Problems = Annotated[str, typer.Option(help="How many times as often problems strike: x1, x10, x0.")]
Live = Annotated[bool, typer.Option("--live", help="Go on after the backfill, in step with the wall clock.")]
Speed = Annotated[float, typer.Option(min=0.001, max=100_000, help="With --live: virtual seconds per second.")]
Partitions = Annotated[int | None, typer.Option(min=1, max=1000, help="Partitions of each data topic.")]
MetricsPort = Annotated[int | None, typer.Option(min=0, max=65535, help="Port of /metrics and /health; 0: any.")]
LogFormat = Annotated[str | None, typer.Option(help="text or json.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
DEFAULT_START = "2026-01-01"


@app.command()
def simulate(
    pack: PackName,
    users: Users = 20_000,
    days: Days = 30.0,
    start: Start = DEFAULT_START,
    seed: Seed = 1,
    problems: Problems = "x1",
    live: Live = False,
    speed: Speed = 1.0,
    shard: Annotated[str, typer.Option(help="Play part i of n of the users: i/n, from 0/n to n-1/n.")] = "0/1",
    bootstrap_servers: Servers = None,
    partitions: Partitions = None,
    batch_events: Annotated[int | None, typer.Option(min=1, help="Events played at once (memory).")] = None,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = None,
    json_output: Json = False,
) -> None:
    """Play users and send what they do to Kafka. Started again, the same command goes on where the topics end."""
    from simulator.commands import simulate_command

    options = _settings(bootstrap_servers, partitions, batch_events, metrics_port, log_format)
    simulate_command(
        pack, users, days, start_of(start), seed, factor_of(problems), live, speed, shard, options, json_output
    )


@app.command()
def up(
    pack: PackName,
    users: Users = 20_000,
    days: Days = 30.0,
    start: Start = DEFAULT_START,
    seed: Seed = 1,
    problems: Problems = "x1",
    live: Live = False,
    speed: Speed = 1.0,
    store: Annotated[Path, typer.Option(help="The DuckDB file to fill.")] = Path("dayone.duckdb"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the embedded broker; 0: any.")] = 0,
    bootstrap_servers: Servers = None,
    partitions: Partitions = None,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = None,
    json_output: Json = False,
) -> None:
    """Broker, simulator and sink in one command: from a pack to a DuckDB file. Ends when the data is stored."""
    from simulator.up import up_command

    options = _settings(bootstrap_servers, partitions, None, metrics_port, log_format)
    up_command(
        pack, users, days, start_of(start), seed, factor_of(problems), live, speed, store, port, options, json_output
    )


@app.command()
def demo(
    store: Annotated[Path, typer.Option(help="The DuckDB file to fill.")] = Path("dayone.duckdb"),
    users: Users = 20_000,
    days: Days = 30.0,
) -> None:
    """The main job on the shop pack: 20,000 users over 30 days, over a million events, into ./dayone.duckdb."""
    from simulator.up import up_command

    options = _settings(None, None, None, 0, None)
    up_command("shop", users, days, start_of(DEFAULT_START), 1, 1.0, False, 1.0, store, 0, options, False)


@app.command()
def broker(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any.")] = 9092,
) -> None:
    """Run the embedded Kafka-compatible broker by itself (in memory; ends with Ctrl-C)."""
    from simulator.commands import broker_command

    broker_command(port)


@app.command()
def control(
    command: Annotated[str, typer.Argument(help="pause, resume, stop, arrival-rate or problem-rate.")],
    value: Annotated[float | None, typer.Argument(help="The factor, for the two rates.")] = None,
    run: Annotated[str | None, typer.Option(help="Only this run; without it, every run that listens.")] = None,
    bootstrap_servers: Servers = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for replies.")] = 5.0,
    json_output: Json = False,
) -> None:
    """Steer a running simulator: dayone control pause | resume | stop | arrival-rate 2 | problem-rate 10."""
    from simulator.commands import control_command

    control_command(command, value, run, timeout, _settings(bootstrap_servers), json_output)


@app.command()
def asyncapi(pack: PackName, partitions: Partitions = None) -> None:
    """Print the AsyncAPI 3.0 document of a pack's topics (JSON)."""
    import json

    from personas.pack import load_pack
    from simulator.asyncapi import document

    settings = _settings(partitions=partitions)
    typer.echo(json.dumps(document(load_pack(pack), settings.kafka_partitions), indent=2))


@app.command()
def explain(
    pack: PackName, users: Users = 20_000, days: Days = 30.0, start: Start = DEFAULT_START, json_output: Json = False
) -> None:
    """What a run would give, computed without playing it: users, sessions and events a day, funnel, size, warnings."""
    from simulator.explain import explain_command

    explain_command(pack, users, days, start_of(start), json_output)


def _settings(
    bootstrap_servers: str | None = None,
    partitions: int | None = None,
    batch_events: int | None = None,
    metrics_port: int | None = None,
    log_format: str | None = None,
) -> Any:
    from simulator.settings import load_settings

    return load_settings(
        kafka_bootstrap_servers=bootstrap_servers,
        kafka_partitions=partitions,
        simulator_batch_events=batch_events,
        simulator_metrics_port=metrics_port,
        log_format=log_format,
    )


def start_of(text: str) -> datetime:
    """The start of a run: an ISO date or date and time, UTC unless it says otherwise."""
    from personas.errors import SettingsError

    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--start {text!r} is not a date", hint="Write 2026-01-01 or 2026-01-01T06:00.") from None
    return start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)


def factor_of(text: str) -> float:
    """`x10` or `10` as 10.0."""
    from personas.errors import SettingsError

    try:
        factor = float(text.removeprefix("x"))
    except ValueError:
        factor = -1.0
    if not 0 <= factor <= 1000:
        raise SettingsError(f"--problems {text!r} is not a factor", hint="Write x10, x1 or x0 (at most x1000).")
    return factor
