"""What `dayone dlq` does: fetches the letters from the database or from Kafka, and shows, judges or sends them.

Knows the parts of this folder and how they fit; no options, no terminal but for the question before a replay.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer

from personas.errors import DayoneError, SettingsError, StoreError
from sinks.dead_letters import display
from sinks.dead_letters.judge import Judge
from sinks.dead_letters.letter import Letter, Place, Wanted, gathered, groups_of
from sinks.dead_letters.replay import ORDER_NOTE, Choice, choose
from sinks.dead_letters.stored import mark_stored, open_for_letters, stored_letters
from sinks.dead_letters.topics import Mailbox
from sinks.settings import SinkSettings
from sinks.store import Store

#: Letters that are named one by one before a replay; beyond, they are counted.
NAMED = 20


def letters_from(settings: SinkSettings, wanted: Wanted, *, on_kafka: bool) -> list[Letter]:
    """The wanted letters, from the database or (`on_kafka`) from the dead-letter topics."""
    if on_kafka:
        with Mailbox(settings.connection, timeout=settings.sink_connect_seconds) as mailbox:
            return [letter for letter in gathered(mailbox.read(wanted.topic)) if wanted(letter)]
    with open_for_letters(settings.place, read_only=True) as store:
        return [letter for letter in stored_letters(store) if wanted(letter)]


def list_letters(settings: SinkSettings, wanted: Wanted, *, on_kafka: bool, each: bool, as_json: bool) -> None:
    """Print how many letters there are by topic and reason, or every one of them."""
    letters = letters_from(settings, wanted, on_kafka=on_kafka)
    if as_json:
        found = [*map(display.as_json, letters)] if each else [*map(display.group_as_json, groups_of(letters))]
        typer.echo(json.dumps(found, ensure_ascii=False))
    elif not letters:
        typer.echo("There are no dead letters." if wanted == Wanted() else "There are no such dead letters.")
    elif each:
        display.table(("letter", "reason", "received", "replayed", "detail"), map(display.letter_row, letters))
    else:
        titles = ("topic", "reason", "letters", "replayed", "first", "last")
        display.table(titles, map(display.group_row, groups_of(letters)))


def show_letter(
    settings: SinkSettings, place: Place, judge: Judge, *, on_kafka: bool, raw: Path | None, as_json: bool
) -> None:
    """Print one letter and what would be wrong with it now; its value goes into the file `raw` as it is."""
    wanted = Wanted(place.topic, places=frozenset([place]))
    letter = _named(letters_from(settings, wanted, on_kafka=on_kafka), [place])[0]
    if raw is not None:
        if letter.value is None:
            raise DayoneError(f"{place}: the message has no value, so there is nothing to write.")
        if "value" in letter.cut:
            typer.echo(f"{place}: only the first {len(letter.value):,} bytes were kept.", err=True)
        try:
            raw.write_bytes(letter.value)
        except OSError as error:
            raise DayoneError(f"{raw}: cannot be written ({error.strerror}).") from error
    verdict = judge.verdict(letter)
    if as_json:
        typer.echo(json.dumps(display.as_json(letter, verdict), ensure_ascii=False))
    else:
        typer.echo("\n".join(display.letter_lines(letter, verdict)))


@dataclass(frozen=True)
class ReplayOrder:
    """What is to be replayed, and how. `places` empty: all that are wanted."""

    wanted: Wanted
    places: tuple[Place, ...] = ()
    mended: bytes | None = None
    dry_run: bool = False
    yes: bool = False
    force: bool = False
    again: bool = False
    as_json: bool = False


def replay_letters(settings: SinkSettings, order: ReplayOrder, judge: Judge, *, from_store: bool) -> None:
    """Send letters to their topics again, after telling which go and which stay, and asking.

    DayoneError where a letter that was named cannot go: nothing is sent then.
    """
    with (
        _store(settings, from_store and not order.dry_run) as store,
        Mailbox(settings.connection, timeout=settings.sink_connect_seconds) as mailbox,
    ):
        cluster_id = mailbox.cluster_id()
        if from_store:
            with _borrowed(settings, store) as opened:
                found = stored_letters(opened, cluster_id)
        else:
            found = gathered(mailbox.read(order.wanted.topic))
        letters = [letter for letter in found if order.wanted(letter)]
        if order.places:
            letters = _named(letters, order.places)
        choices = choose(letters, judge, mended=order.mended, force=order.force, again=order.again)
        going = [choice.letter for choice in choices if not choice.stays]
        if order.places and len(going) < len(choices):
            faults = "\n  ".join(f"{choice.letter.place}: {choice.stays}" for choice in choices if choice.stays)
            raise DayoneError(f"Nothing was sent. These letters cannot be replayed:\n  {faults}", hint=_how(choices))
        _tell(choices, order)
        if order.dry_run or not going:
            _finish(choices, order, sent=0, notes=[])
            return
        _ask(len(going), order)
        mailbox.replay(going, order.mended)
        now, places = datetime.now(UTC), [letter.place for letter in going]
        notes = [f"{topic} does not exist: the replay is not marked there." for topic in mailbox.mark(places, now)]
        try:
            with _borrowed(settings, store, writing=True) as opened:
                mark_stored(opened, cluster_id, places, now)
        except StoreError as error:
            if settings.place.is_lake or Path(settings.store).exists():
                notes.append(f"The replay is marked on the topics, but not in the database: {error.message}")
        _finish(choices, order, sent=len(going), notes=notes)


@contextmanager
def _store(settings: SinkSettings, wanted: bool) -> Iterator[Store | None]:
    """The store for writing, opened before anything is sent, where it is `wanted`."""
    if not wanted:
        yield None
        return
    with open_for_letters(settings.place, read_only=False) as store:
        yield store


@contextmanager
def _borrowed(settings: SinkSettings, store: Store | None, *, writing: bool = False) -> Iterator[Store]:
    """The store that is open, or one opened for the moment; never made where there is none."""
    if store is not None:
        yield store
        return
    if writing:
        open_for_letters(settings.place, read_only=True).close()
    with open_for_letters(settings.place, read_only=not writing) as opened:
        yield opened


def _named(letters: list[Letter], places: tuple[Place, ...] | list[Place]) -> list[Letter]:
    """The letters of these places in this order; DayoneError where one is not there."""
    by_place = {letter.place: letter for letter in letters}
    if missing := [str(place) for place in places if place not in by_place]:
        raise DayoneError(f"There is no dead letter {', '.join(missing)}.", hint="See: dayone dlq list --each")
    return [by_place[place] for place in dict.fromkeys(places)]


def _how(choices: list[Choice]) -> str:
    if any(choice.letter.cut for choice in choices):
        return "What was cut is gone; a cut value can be replaced with --value-file FILE."
    return "Mend the value with --value-file FILE, or send it as it is with --force."


def _tell(choices: list[Choice], order: ReplayOrder) -> None:
    """Which letters stay, and why, on standard error."""
    staying = [choice for choice in choices if choice.stays]
    for choice in staying[:NAMED]:
        typer.echo(f"stays: {choice.letter.place}: {choice.stays}", err=True)
    if len(staying) > NAMED:
        typer.echo(f"stays: {len(staying) - NAMED:,} more", err=True)
    bad = [choice for choice in choices if not choice.stays and choice.verdict.outcome != "good"]
    for choice in bad[:NAMED]:
        typer.echo(f"would fail again, goes all the same: {choice.letter.place}: {choice.verdict}", err=True)
    if order.dry_run and not order.as_json:
        for choice in choices:
            if not choice.stays:
                typer.echo(f"goes:  {choice.letter.place}")


def _ask(count: int, order: ReplayOrder) -> None:
    typer.echo(ORDER_NOTE, err=True)
    if order.yes:
        return
    question = f"Send {count:,} {'letter' if count == 1 else 'letters'} to their topics again?"
    if not sys.stdin.isatty():
        raise SettingsError(f"{question} Nobody is there to answer.", hint="Say --yes, or look first: --dry-run.")
    typer.confirm(question, abort=True, err=True)


def _finish(choices: list[Choice], order: ReplayOrder, *, sent: int, notes: list[str]) -> None:
    for note in notes:
        typer.echo(note, err=True)
    staying = sum(bool(choice.stays) for choice in choices)
    if order.as_json:
        done = {"sent": sent, "stay": staying, "dry_run": order.dry_run}
        typer.echo(json.dumps({**done, "letters": [*map(display.choice_as_json, choices)]}, ensure_ascii=False))
    elif order.dry_run:
        typer.echo(f"{len(choices) - staying:,} would be sent, {staying:,} stay. Nothing was sent.")
    else:
        typer.echo(f"{sent:,} sent, {staying:,} stay.")
