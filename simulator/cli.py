"""The simulator's commands: simulate, up, demo, broker, control, asyncapi, explain. Heavy imports are in the functions.

Options override the environment (DAYONE_*), which overrides the defaults; `simulator.settings` reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from simulator.options import (
    DEFAULT_START,
    Days,
    Json,
    PackName,
    Partitions,
    RunOptions,
    Servers,
    Start,
    Users,
    gathered,
    start_of,
)
from simulator.teach.cli import app as teach
from simulator.twins.cli import app as twins

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

Store = Annotated[Path, typer.Option(help="The DuckDB file to fill.")]
DEFAULT_STORE = Path("dayone.duckdb")


@app.command()
@gathered
def simulate(
    pack: PackName,
    run: RunOptions,
    shard: Annotated[str, typer.Option(help="Play part i of n of the users: i/n, from 0/n to n-1/n.")] = "0/1",
    batch_events: Annotated[int | None, typer.Option(min=1, help="Events played at once (memory).")] = None,
) -> None:
    """Play users and send what they do to Kafka. Started again, the same command goes on where the topics end."""
    from simulator.commands import simulate_command

    simulate_command(pack, run, shard, _settings_of(run, simulator_batch_events=batch_events))


@app.command()
@gathered
def up(
    pack: PackName,
    run: RunOptions,
    store: Store = DEFAULT_STORE,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the embedded broker; 0: any.")] = 0,
) -> None:
    """Broker, simulator and sink in one command: from a pack to a DuckDB file. Ends when the data is stored."""
    from simulator.up import up_command

    up_command(pack, run, store, port, _settings_of(run))


@app.command()
def demo(store: Store = DEFAULT_STORE, users: Users = 20_000, days: Days = 30.0) -> None:
    """The main job on the shop pack: 20,000 users over 30 days, over a million events, into ./dayone.duckdb."""
    from simulator.up import up_command

    run = RunOptions(users=users, days=days, metrics_port=0)
    up_command("shop", run, store, 0, _settings_of(run))


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

    control_command(command, value, run, timeout, _settings(kafka_bootstrap_servers=bootstrap_servers), json_output)


@app.command()
def asyncapi(pack: PackName, partitions: Partitions = None) -> None:
    """Print the AsyncAPI 3.0 document of a pack's topics (JSON)."""
    import json

    from personas.pack import load_pack
    from simulator.asyncapi import document

    settings = _settings(kafka_partitions=partitions)
    typer.echo(json.dumps(document(load_pack(pack), settings.kafka_partitions), indent=2))


@app.command()
def explain(
    pack: PackName, users: Users = 20_000, days: Days = 30.0, start: Start = DEFAULT_START, json_output: Json = False
) -> None:
    """What a run would give, without playing it: users, sessions and events a day, funnel, size, warnings. Of a folder
    made by dayone fit: what its twins learnt, from what, and what is promised to its people."""
    if (Path(pack) / "words.json").is_file():
        from simulator.twins.commands import explain_model_command

        explain_model_command(Path(pack), json_output=json_output)
        return
    from simulator.explain import explain_command

    explain_command(pack, users, days, start_of(start), json_output)


@app.command()
def local_llm(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any.")] = 8100,
    model: Annotated[Path | None, typer.Option(help="A model in GGUF format; without it, SmolLM2.")] = None,
    slots: Annotated[int, typer.Option(min=1, max=64, help="Answers written at the same time.")] = 2,
    context: Annotated[int, typer.Option(min=256, help="Tokens of prompt and answer together.")] = 4096,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to compute with; all cores by default.")] = None,
    longest_text: Annotated[int | None, typer.Option(min=1, help="Characters of a free text, at most.")] = None,
) -> None:
    """Run a small language model on this machine, for agents without a key; prints what to export."""
    from simulator.local_llm.commands import local_llm_command

    local_llm_command(port, model, slots, context, threads, longest_text)


app.add_typer(teach)
app.add_typer(twins)


def _settings_of(run: RunOptions, **more: Any) -> Any:
    return _settings(
        kafka_bootstrap_servers=run.bootstrap_servers,
        kafka_partitions=run.partitions,
        simulator_checkpoints=run.checkpoints,
        simulator_metrics_port=run.metrics_port,
        log_format=run.log_format,
        tutor_recordings=run.recordings,
        tutor_recording_mode=run.recording_mode,
        **more,
    )


def _settings(**options: Any) -> Any:
    from simulator.settings import load_settings

    return load_settings(**options)
