"""The command that teaches a student. Everything heavy is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from simulator.options import Json, LogFormat, PackName, Record, RecordingsFolder, Replay, RunOptions, Seed, TutorMode

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def teach(
    pack: PackName,
    budget: Annotated[float, typer.Option(min=0.0, help="The most dollars that all visits together may cost.")] = 5.0,
    sessions: Annotated[int | None, typer.Option(min=2, max=1_000_000, help="At most so many visits.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder of the student.  [default: <product>.student]")] = None,
    tutor: Annotated[
        Literal["model", "oracle"],
        typer.Option(help="Who teaches: a language model, or an invented truth that costs nothing."),
    ] = "model",
    tutor_mode: TutorMode = "walk",
    traces: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Learn from these sessions and ask nobody: a log, or a dump of topics (.jsonl)."
        ),
    ] = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="YAML: how the log of --traces calls things.")
    ] = None,
    recordings: RecordingsFolder = None,
    record: Record = False,
    replay: Replay = False,
    seed: Seed = 1,
    log_format: LogFormat = None,
    json_output: Json = False,
) -> None:
    """Pay agents for visits, learn tables from them that play millions, and tell how well they predict the agents.

    With --traces it learns from sessions in a file instead: those of real users, or recorded ones. That costs nothing.

    Started again, the same command goes on where it stopped. Play the student with: dayone simulate PACK --teacher
    student --student DIR
    """
    from simulator.settings import load_settings
    from simulator.teach.commands import Wish, teach_command

    mode = RunOptions(record=record, replay=replay).recording_mode
    settings = load_settings(tutor_recordings=recordings, tutor_recording_mode=mode, log_format=log_format)
    wish = Wish(pack, budget, sessions, out, tutor, tutor_mode, seed, traces, map_file)
    teach_command(wish, settings, json_output=json_output)
