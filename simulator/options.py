"""The options of the commands that play a run, declared once: types, ranges, help and defaults.

`gathered` lets a command take them as one object: `def command(pack: PackName, run: RunOptions)` has all the options
of RunOptions on its command line. Typer knows functions with one parameter per option only, so the parameters are
written into the signature that it reads; the other way, each command listing them all, is how two lists drift apart.
Imports nothing heavy: every `dayone --help` reads it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from personas.errors import SettingsError

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
Checkpoints = Annotated[
    bool | None,
    typer.Option(
        "--checkpoints/--no-checkpoints",
        help="Write the state to Kafka now and then, so that starting again takes seconds.  [default: checkpoints]",
        show_default=False,
    ),
]
MetricsPort = Annotated[int | None, typer.Option(min=0, max=65535, help="Port of /metrics and /health; 0: any.")]
LogFormat = Annotated[str | None, typer.Option(help="text or json.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
DEFAULT_START = "2026-01-01"
DEFAULT_TUTOR_SHARE = 0.01
Generator = Annotated[Literal["twin"] | None, typer.Option(help="twin: a --model of real users plays all of them.")]
ModelFolder = Annotated[Path | None, typer.Option("--model", help="For twins: a folder made by dayone fit.")]
Teacher = Annotated[
    Literal["prior", "student", "tutor"], typer.Option(help="Who plays the users; tutor: agents play a share.")
]
StudentFolder = Annotated[
    Path | None, typer.Option("--student", help="A folder made by dayone teach: its tables in place of the prior's.")
]
TutorShare = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, help="With --teacher tutor: the share of users played by agents. [default: 0.01]"),
]
TutorMode = Annotated[
    Literal["walk", "plan"], typer.Option(help="Agents decide at each step, or plan many visits at once (cheaper).")
]
BudgetDollars = Annotated[float, typer.Option("--budget", min=0.0, help="The most dollars that agents may cost.")]
Batches = Annotated[
    bool, typer.Option("--batches", help="With --tutor-mode plan: message batches, half the price, within a day.")
]
RecordingsFolder = Annotated[
    Path | None, typer.Option("--recordings", help="A folder to keep the answers of agents in, to repeat them.")
]
Record = Annotated[bool, typer.Option("--record", help="With --recordings: ask everything anew, and keep it.")]
Replay = Annotated[bool, typer.Option("--replay", help="With --recordings: ask nobody, repeat what was kept.")]


@dataclass(frozen=True)
class RunOptions:
    """What a user may say about a run, wherever it is played. None leaves it to the environment."""

    users: Users = 20_000
    days: Days = 30.0
    start: Start = DEFAULT_START
    seed: Seed = 1
    problems: Problems = "x1"
    live: Live = False
    speed: Speed = 1.0
    bootstrap_servers: Servers = None
    partitions: Partitions = None
    checkpoints: Checkpoints = None
    metrics_port: MetricsPort = None
    log_format: LogFormat = None
    json_output: Json = False
    generator: Generator = None
    model: ModelFolder = None
    teacher: Teacher = "prior"
    student: StudentFolder = None
    tutor_share: TutorShare = None
    tutor_mode: TutorMode = "walk"
    budget: BudgetDollars = 1.0
    batches: Batches = False
    recordings: RecordingsFolder = None
    record: Record = False
    replay: Replay = False

    @property
    def recording_mode(self) -> str | None:
        """The mode of recordings that was asked for; None leaves it to the environment."""
        if self.record and self.replay:
            raise SettingsError("--record and --replay contradict each other", hint="Give one of them, or neither.")
        return "record" if self.record else "replay" if self.replay else None


def gathered(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of RunOptions in place of its parameter of that type."""
    hints = get_type_hints(RunOptions, include_extras=True)
    own_kind = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(field.name, own_kind, default=field.default, annotation=hints[field.name])
        for field in fields(RunOptions)
    ]
    parameters: list[inspect.Parameter] = []
    taken = ""
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.annotation is RunOptions:
            taken = parameter.name
            parameters += options
        else:
            parameters.append(parameter.replace(kind=own_kind))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        own = RunOptions(**{field.name: values.pop(field.name) for field in fields(RunOptions)})
        command(**values, **{taken: own})

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def start_of(text: str) -> datetime:
    """The start of a run: an ISO date or date and time, UTC unless it says otherwise."""
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--start {text!r} is not a date", hint="Write 2026-01-01 or 2026-01-01T06:00.") from None
    return start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)


def factor_of(text: str) -> float:
    """`x10` or `10` as 10.0."""
    try:
        factor = float(text.removeprefix("x"))
    except ValueError:
        factor = -1.0
    if not 0 <= factor <= 1000:
        raise SettingsError(f"--problems {text!r} is not a factor", hint="Write x10, x1 or x0 (at most x1000).")
    return factor
