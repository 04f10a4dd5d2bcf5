"""Logs whose law is known: what was put in is what a model has to find."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from personas.randomness import fold, root_key, uniform

START = 1_767_225_600_000_000  # 2026-01-01
HOUR, DAY = 3_600_000_000, 86_400_000_000
KINDS = [pa.string(), pa.string(), pa.timestamp("us", "UTC"), pa.string(), pa.string()]
NAMES = ["user_id", "session_id", "ts", "event", "item_id"]


def numbers(*counters: object) -> float:
    """A number in [0, 1) by what it is for."""
    return float(uniform(fold(root_key(*counters), 0))[0])


def table(rows: list[tuple[str, str, int, str, str | None]]) -> pa.Table:
    """A log of (user, session, microseconds, event, item)."""
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, KINDS, strict=True)], NAMES)


def promises(users: int = 1500) -> pa.Table:
    """Every session opens with `red` or `blue` (30 % red), then 3 to 8 times `look` at items, then `done` after red and
    `left` after blue: an effect across the session. Red looks at items of one half of 40, blue at the other; a look
    takes up again the item before with probability 0.25. Sessions start between 9 and 12 o'clock, on workdays; a look
    takes a minute or so, the last event comes exactly an hour later."""
    rows: list[tuple[str, str, int, str, str | None]] = []
    for user in range(users):
        red = numbers("colour", user) < 0.3
        day = int(numbers("day", user) * 28)
        day -= max((day + 3) % 7 - 4, 0)  # 2026 began on a Thursday
        time = START + day * DAY + int((9 + 3 * numbers("hour", user)) * HOUR)
        rows.append((f"person-{user}", f"s{user}", time, "red" if red else "blue", None))
        item = -1
        for step in range(3 + int(6 * numbers("length", user))):
            time += int(30e6 + 60e6 * numbers("gap", user, step))
            if step == 0 or numbers("again", user, step) >= 0.25:
                item = int(20 * numbers("item", user, step) ** 2) + (0 if red else 20)
            rows.append((f"person-{user}", f"s{user}", time, "look", f"i{item:02d}"))
        rows.append((f"person-{user}", f"s{user}", time + HOUR, "done" if red else "left", None))
    return table(rows)


def secret(log: pa.Table, users: int) -> pa.Table:
    """The log with `users` people more, who all do the same strange things."""
    rows: list[tuple[str, str, int, str, str | None]] = []
    for user in range(users):
        begin = START + 3 * DAY + 10 * HOUR
        for step, (event, item) in enumerate([("red", None), ("confess", "i00"), ("look", "hidden"), ("done", None)]):
            rows.append((f"odd-{user}", f"odd-{user}", begin + step * 1_234_567, event, item))
    return pa.concat_tables([log, table(rows)])


def sessions(log: pa.Table) -> list[list[tuple[int, str, str | None]]]:
    """(microseconds, event, item) of each session."""
    found: dict[str, list[tuple[int, str, str | None]]] = {}
    times = np.asarray(log["ts"].cast(pa.int64())).tolist()
    columns = [log[name].to_pylist() for name in ("session_id", "event", "item_id")]
    for time, session, event, item in zip(times, *columns, strict=True):
        found.setdefault(session, []).append((time, event, item))
    return list(found.values())
