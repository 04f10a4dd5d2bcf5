"""`dayone explain`: what a run would give, computed without playing it, and what in the pack looks like a mistake.

Puts together the expected session (`expectation`) and the expected course (`forecast`), and tells them: users,
sessions and events by day, the funnel, the personas, the size on disk, and warnings. Nothing is sent or written.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from personas.pack import Pack, load_pack
from personas.randomness import F64
from personas.situations import Situations
from simulator.behaviour.prior import prior
from simulator.expectation import Expectation, expect
from simulator.forecast import Forecast, forecast
from simulator.oddities import find_oddities
from simulator.slates import build_rankings
from simulator.world import build_world

#: Bytes per event with everything that goes with it (labels, summaries, users). Measured on runs of at least 100,000
#: events of each shipped pack (3,000 users, seed 7); the highest of the three. Kafka: bytes sent by the client, zstd.
KAFKA_BYTES = 70
#: Size of the DuckDB file after commits of 50,000 messages, over the number of events.
DUCKDB_BYTES = 300
#: Growth of the embedded broker's resident memory, over the number of events, and from where on to think of Kafka.
BROKER_BYTES = 116
BROKER_COMFORT = 2 * 1024**3


@dataclass(frozen=True)
class Day:
    """One day (or, of more than 1,000 days, one period): `date` is its first; `users` have signed up by its end."""

    date: str
    users: float
    sessions: float
    events: float


@dataclass(frozen=True)
class PersonaPart:
    """What comes of one persona. `last_session_share`: after this share of its sessions the user never returns."""

    persona: str
    users: float
    sessions: float
    events: float
    events_per_session: float
    conversion: float
    last_session_share: float


@dataclass(frozen=True)
class Explanation:
    """The expected run. `funnel` is the share of sessions with at least one event of each step (not counts divided by
    sessions); `goals` the share of the sessions with an intent that reach its goal; `events_by_type` and `problems` are
    expected counts. Sizes are in bytes."""

    pack: str
    users: float
    sessions: float
    events: float
    events_per_session: float
    days: tuple[Day, ...]
    personas: tuple[PersonaPart, ...]
    funnel: dict[str, float]
    events_by_type: dict[str, float]
    goals: dict[str, float]
    problems: dict[str, float]
    kafka_bytes: int
    duckdb_bytes: int
    broker_memory_bytes: int
    hints: tuple[str, ...]
    warnings: tuple[str, ...]


def explain_command(pack_name: str, users: int, days: float, start: datetime, json_output: bool) -> None:
    """`dayone explain`: print the explanation, for people or as one JSON object. PackError when the pack is wrong."""
    import typer

    told = explain(load_pack(pack_name), users, days, start)
    typer.echo(json.dumps(asdict(told), ensure_ascii=False) if json_output else render(told))


def explain(pack: Pack, users: int, days: float, start: datetime) -> Explanation:
    """What so many users over so many days from `start` (UTC) on are expected to give, problems at declared rates."""
    situations = Situations(pack.product)
    world, behaviour = build_world(pack, situations), prior(pack, situations)
    each = expect(pack, world, behaviour, build_rankings(pack))
    course = forecast(pack, each, users, days, start)
    by_persona = course.sessions.sum(axis=1)
    mix = by_persona[:, None] * each.intents
    sessions, length = float(by_persona.sum()), each.events_per_session
    events = float((by_persona * length).sum())
    counts, troubles = (np.einsum("pg,pgk->k", mix, table) for table in (each.events, each.problems))
    funnel = np.einsum("pg,pgk->k", mix, each.funnel) / max(sessions, 1e-12)
    product = pack.product
    intents = mix.sum(axis=0)
    goals = (mix * each.reached).sum(axis=0) / np.maximum(intents, 1e-12)
    broker = round(events * BROKER_BYTES)
    return Explanation(
        pack=product.name,
        users=float(course.users[-1]) if len(course.users) else 0.0,
        sessions=sessions,
        events=events,
        events_per_session=events / max(sessions, 1e-12),
        days=_days(course, length),
        personas=_persona_parts(pack, each, course),
        funnel=dict(zip(product.funnel, funnel.tolist(), strict=True)),
        events_by_type=dict(zip(product.events, counts.tolist(), strict=True)),
        goals={name: float(goals[row]) for row, (name, intent) in enumerate(product.intents.items()) if intent.goal},
        problems=dict(zip(product.problems, troubles.tolist(), strict=True)),
        kafka_bytes=round(events * KAFKA_BYTES),
        duckdb_bytes=round(events * DUCKDB_BYTES),
        broker_memory_bytes=broker,
        hints=_hints(broker),
        warnings=tuple(find_oddities(pack, each)),
    )


def _days(course: Forecast, length: F64) -> tuple[Day, ...]:
    sessions, events = course.sessions.sum(axis=0), (course.sessions * length[:, None]).sum(axis=0)
    rows = zip(course.first, course.users.tolist(), sessions.tolist(), events.tolist(), strict=True)
    return tuple(Day(first.date().isoformat(), *numbers) for first, *numbers in rows)


def _persona_parts(pack: Pack, each: Expectation, course: Forecast) -> tuple[PersonaPart, ...]:
    product, parts = pack.product, []
    users = float(course.users[-1]) if len(course.users) else 0.0
    shares = sum(persona.share for persona in pack.personas)
    for row, persona in enumerate(pack.personas):
        conversion = 0.0
        if product.conversion in product.funnel:
            share = each.funnel[row, :, product.funnel.index(product.conversion)]
            conversion = float((each.intents[row] * share).sum())
        sessions, length = float(course.sessions[row].sum()), float(each.events_per_session[row])
        parts.append(
            PersonaPart(
                persona.name, users * persona.share / shares, sessions, sessions * length, length, conversion,
                float(course.churned[row]),
            )
        )  # fmt: skip
    return tuple(parts)


def _hints(broker: int) -> tuple[str, ...]:
    if broker < BROKER_COMFORT:
        return ()
    return (
        f"the embedded broker keeps everything in memory, here about {amount_of_bytes(broker)}: "
        "use Apache Kafka (--bootstrap-servers), or fewer users or days",
    )


def amount_of_bytes(count: float) -> str:
    """`1.4 GB`: powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def render(told: Explanation) -> str:
    """The explanation for a terminal, as plain text."""
    lines = [
        f"{told.pack}: expected, computed without playing",
        f"  users     {told.users:>14,.0f}",
        f"  sessions  {told.sessions:>14,.0f}",
        f"  events    {told.events:>14,.0f}   {told.events_per_session:.1f} a session",
        f"  on disk   Kafka (zstd) {amount_of_bytes(told.kafka_bytes)}, DuckDB {amount_of_bytes(told.duckdb_bytes)}; "
        f"embedded broker {amount_of_bytes(told.broker_memory_bytes)} of memory",
        "",
        _table([["date", "users", "sessions", "events"]] + [_row(day) for day in _some(told.days)]),
        "",
        "sessions with at least one",
        *(f"  {name:<32}{share:>8.2%}  {'#' * round(40 * share)}" for name, share in told.funnel.items()),
        "",
        _table(
            [["persona", "users", "sessions", "events", "a session", "conversion", "last sessions"]]
            + [
                [p.persona, f"{p.users:,.0f}", f"{p.sessions:,.0f}", f"{p.events:,.0f}", f"{p.events_per_session:.1f}",
                 f"{p.conversion:.2%}", f"{p.last_session_share:.1%}"]
                for p in told.personas
            ]
        ),
    ]  # fmt: skip
    for title, entries in (("hints", told.hints), ("warnings", told.warnings)):
        if entries:
            lines += ["", title, *(f"  {entry}" for entry in entries)]
    return "\n".join(lines if told.warnings else [*lines, "", "no warnings"])


def _row(day: Day) -> list[str]:
    return [day.date, f"{day.users:,.0f}", f"{day.sessions:,.0f}", f"{day.events:,.0f}"]


def _some(days: tuple[Day, ...], most: int = 15) -> tuple[Day, ...]:
    """At most so many days, evenly spread, the first and the last among them."""
    if len(days) <= most:
        return days
    return tuple(days[row] for row in np.linspace(0, len(days) - 1, most).round().astype(int).tolist())


def _table(rows: list[list[Any]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  " + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
