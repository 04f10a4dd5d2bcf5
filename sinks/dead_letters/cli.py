"""The commands `dayone dlq list`, `show` and `replay`. Options in, errors of ours out; all work is done elsewhere.

Imports nothing heavy at the top, so that `dayone --help` comes at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personas.console import told_errors

if TYPE_CHECKING:
    from sinks.dead_letters.letter import Place, Wanted

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

LETTER = Annotated[str, typer.Argument(metavar="LETTER", help="<topic>/<partition>/<offset>, as `list --each` has it.")]
STORE = Annotated[str | None, typer.Option("--store", metavar="FILE", help="The DuckDB file. [./dayone.duckdb]")]
SERVERS = Annotated[
    str | None, typer.Option("--bootstrap-servers", metavar="HOST:PORT", help="Ask the .dlq topics, not the database.")
]
TOPIC = Annotated[str | None, typer.Option(help="Only letters of this topic (or of this .dlq topic).")]
REASON = Annotated[str | None, typer.Option(help="Only letters with this reason, such as not_json.")]
SINCE = Annotated[str | None, typer.Option(metavar="TIME", help="Only later ones: 30m, 2h, 7d ago, or an ISO time.")]
PACK = Annotated[str | None, typer.Option(help="The pack to judge by, a name or a folder. [the topic's product]")]
JSON = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


@app.command("list")
def list_command(
    store: STORE = None,
    bootstrap_servers: SERVERS = None,
    topic: TOPIC = None,
    reason: REASON = None,
    since: SINCE = None,
    each: Annotated[bool, typer.Option("--each", help="Every letter on a line of its own.")] = False,
    as_json: JSON = False,
) -> None:
    """Count dead letters by topic and reason, with when the first and the last came; or list each."""
    with told_errors():
        from sinks.dead_letters.commands import list_letters

        settings, wanted = _settings(store, bootstrap_servers), _wanted(topic, reason, since)
        list_letters(settings, wanted, on_kafka=bootstrap_servers is not None, each=each, as_json=as_json)


@app.command()
def show(
    letter: LETTER,
    store: STORE = None,
    bootstrap_servers: SERVERS = None,
    pack: PACK = None,
    raw: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the value into this file as it is.")] = None,
    as_json: JSON = False,
) -> None:
    """Show one dead letter: origin, reason, headers, key, value, and what would be wrong with it now."""
    with told_errors():
        from sinks.dead_letters.commands import show_letter

        settings, on_kafka = _settings(store, bootstrap_servers), bootstrap_servers is not None
        show_letter(settings, _place(letter), _judge(pack, settings), on_kafka=on_kafka, raw=raw, as_json=as_json)


@app.command()
def replay(
    letters: Annotated[list[str] | None, typer.Argument(metavar="[LETTER]...", help="Which; or --all.")] = None,
    all_letters: Annotated[bool, typer.Option("--all", help="All of them, or all that the filters leave.")] = False,
    store: Annotated[
        str | None, typer.Option("--store", metavar="FILE", help="Take the letters from this database, not the topics.")
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option("--bootstrap-servers", metavar="HOST:PORT", help="Kafka brokers. [127.0.0.1:9092]")
    ] = None,
    topic: TOPIC = None,
    reason: REASON = None,
    since: SINCE = None,
    pack: PACK = None,
    value_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Send this mended value in the place of the letter's.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Send also what would be dead again.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send also what was replayed before.")] = False,
    as_json: JSON = False,
) -> None:
    """Send dead letters to their topics again, as they were or mended. What is stored already is not stored twice.

    The letters are taken from the .dlq topics, so a sink may run. They come behind everything on their partitions: the
    topics do not keep the order within a user. A letter that was cut for its length is not sent.
    """
    with told_errors():
        from personas.errors import SettingsError
        from sinks.dead_letters.commands import ReplayOrder, replay_letters

        places = tuple(map(_place, letters or ()))
        if bool(places) == all_letters:
            raise SettingsError("Say which letters: either LETTER... or --all.", hint="See: dayone dlq list --each")
        if value_file is not None and len(places) != 1:
            raise SettingsError("--value-file mends one letter: give exactly one LETTER.")
        settings = _settings(store, bootstrap_servers)
        order = ReplayOrder(
            _wanted(topic, reason, since), places, _content(value_file), dry_run, yes, force, again, as_json
        )
        replay_letters(settings, order, _judge(pack, settings), from_store=store is not None)


def _settings(store: str | None, bootstrap_servers: str | None) -> Any:
    from sinks.settings import load_settings

    return load_settings(store=store, kafka_bootstrap_servers=bootstrap_servers)


def _judge(pack: str | None, settings: Any) -> Any:
    from sinks.dead_letters.judge import Judge

    return Judge(pack, max_bytes=settings.sink_max_message_bytes)


def _place(text: str) -> Place:
    from sinks.dead_letters.letter import Place

    return Place.parse(text)


def _wanted(topic: str | None, reason: str | None, since: str | None) -> Wanted:
    from datetime import UTC, datetime

    from personas.errors import SettingsError
    from sinks.batch import REASONS
    from sinks.dead_letters.letter import Wanted, moment_of

    if reason is not None and reason not in REASONS:
        raise SettingsError(f"--reason: found {reason!r}, expected one of {', '.join(REASONS)}.")
    return Wanted(topic, reason, moment_of(since, lambda: datetime.now(UTC)) if since else None)


def _content(path: Path | None) -> bytes | None:
    from personas.errors import SettingsError

    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise SettingsError(f"--value-file {path}: cannot be read ({error.strerror}).") from error
