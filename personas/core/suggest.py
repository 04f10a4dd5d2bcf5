"""A map that can be pasted, for a core whose words are others than the product's.

Columns are matched by their names. Events are matched by their names and by where they stand: how often they happen
and how far into a session. Both are guesses, and the message says that somebody has to look them over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

import yaml

from personas.core.mapping import USUAL

#: What columns are often called, beside their usual names.
_OFTEN = {
    "user_id": ("user", "userid", "customer", "customer_id", "visitor", "visitor_id", "client_id", "account", "caller"),
    "session_id": ("session", "sessionid", "visit", "visit_id"),
    "time": ("timestamp", "datetime", "date", "event_time", "created_at", "occurred_at"),
    "event": ("event_name", "event_type", "action", "activity", "verb"),
    "item_id": ("item", "itemid", "product", "product_id", "sku", "article", "content_id"),
    "device": ("device_type", "platform"),
}


@dataclass(frozen=True)
class Habit:
    """Where an event stands: its share of all events, and its mean place in a session from 0 (first) to 1 (last)."""

    share: float
    place: float


def likeness(one: str, other: str) -> float:
    """How alike two names are, from 0 to 1: the better of whole names and their words, whatever the order (the ratio of
    Ratcliff and Obershelp, which counts matching blocks instead of single edits)."""
    left, right = (name.lower().replace("-", "_").replace(" ", "_") for name in (one, other))
    first, second = ("_".join(sorted(name.split("_"))) for name in (left, right))
    return max(SequenceMatcher(None, left, right).ratio(), SequenceMatcher(None, first, second).ratio())


def suggested_columns(found: Iterable[str]) -> dict[str, str]:
    """For each thing a column can be for, the column that is most likely it; nothing where none comes near."""
    pairs = [
        (max(likeness(column, name) for name in (*USUAL[role], *_OFTEN.get(role, ()))), role, column)
        for role in ("user_id", "time", "event", "session_id", "item_id", "device")
        for column in found
    ]
    found = _matched(pairs, 0.75)
    return {role: found[role] for role in USUAL if role in found}


def suggested_events(theirs: Mapping[str, Habit], ours: Mapping[str, Habit]) -> dict[str, str]:
    """For each event of the core, the product's event that is most like it: seven parts name, three parts habit. Each
    of the product's is given once; what is left over gets the nearest all the same."""

    def alike(name: str, other: str) -> float:
        one, two = theirs[name], ours[other]
        habit = 1 - (abs(one.share - two.share) + abs(one.place - two.place)) / 2
        return 0.7 * likeness(name, other) + 0.3 * habit

    pairs = [(alike(name, other), name, other) for name in theirs for other in ours]
    once = _matched(pairs, 0.0)
    return {name: once.get(name) or max((like, other) for like, given, other in pairs if given == name)[1]
            for name in theirs}  # fmt: skip


def _matched(pairs: list[tuple[float, str, str]], least: float) -> dict[str, str]:
    """The best pairs first, each name on either side once."""
    found: dict[str, str] = {}
    for like, left, right in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if like >= least and left not in found and right not in found.values():
            found[left] = right
    return found


def pasted(**parts: Mapping[str, str | None]) -> str:
    """The parts as YAML, indented to stand in a message."""
    text = yaml.safe_dump({name: dict(part) for name, part in parts.items() if part}, sort_keys=False)
    return "".join(f"    {line}\n" for line in text.splitlines()).rstrip("\n")
