"""What the twins of a run will do, in the words of its pack and the time of the run: one script a session.

Twins keep the core's calendar: its hours, its weekdays, its growth. It is moved by whole weeks so that it begins with
the run; who would have come before the run's first hour comes a week later, with all that follows. Every user is a
function of model, seed and number: shards draw their own users and nobody else's. Knows no rules of a product.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from personas.errors import TwinError
from personas.pack import Pack
from personas.population import Population
from personas.randomness import root_key
from simulator.twins.artefact import PackNamed
from simulator.twins.draw import draw
from simulator.twins.log import I64
from simulator.twins.model import TwinModel

BLOCK = 8192
DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Scripts:
    """s sessions of n events. By session: `user` (row of the population), `turn` (its number within the user), `start`
    (milliseconds after the start of the run), `first` [s+1]. By event: `event` and `item` (rows of the pack's; -1: no
    item), `time` (milliseconds after the start of its session)."""

    user: npt.NDArray[np.int32]
    turn: npt.NDArray[np.int32]
    start: I64
    first: I64
    event: npt.NDArray[np.int16]
    item: npt.NDArray[np.int32]
    time: I64

    def signed_up(self, users: int) -> I64:
        """When each user comes for the first time."""
        found = np.full(users, np.iinfo(np.int64).max)
        np.minimum.at(found, self.user, self.start)
        return found


@dataclass(frozen=True)
class Words:
    """The rows of the pack for the codes of a model: -1 where the pack has no such thing."""

    event: I64
    item: I64


def words_of(model: TwinModel, named: PackNamed, pack: Pack) -> Words:
    """TwinError where the model was made for another pack, or speaks of events that this one does not have."""
    if named.name != pack.product.name:
        raise TwinError(
            f"the model was fitted for the pack {named.name}, and this is {pack.product.name}.",
            hint=f"Give the pack {named.name}, or fit the model again with --pack {pack.product.name}.",
        )
    events = {name: row for row, name in enumerate(pack.product.events)}
    items = {item.id: row for row, item in enumerate(pack.catalog.items)}
    ours = [named.events.get(word, word) for word in model.words["event"]]
    if odd := [name for name in ours if name not in events]:
        raise TwinError(
            f"the model speaks of the event {odd[0]!r}, which {pack.product.name} (any more) does not have.",
            hint="Fit it again: the pack has changed since.",
        )
    return Words(
        np.array([events[name] for name in ours], dtype=np.int64),
        np.array([items.get(named.items.get(word, word), -1) for word in model.words["item"]] + [-1], dtype=np.int64),
    )


def write_scripts(model: TwinModel, words: Words, population: Population, start: datetime, seed: int) -> Scripts:
    """The scripts of all users of a population (of a shard)."""
    key = root_key("twins of a run", seed)
    begins = round((start - _EPOCH).total_seconds() * 1_000_000)
    shift = (begins - int(model.facts["first"]) // DAY_US * DAY_US) // WEEK_US * WEEK_US
    parts: list[Scripts] = []
    for low in range(0, len(population), BLOCK):
        numbers = population.number[low : low + BLOCK]
        log = draw(model, numbers, key)
        began = log.time[log.first[:-1]] + shift - begins
        earliest = np.full(len(numbers), np.iinfo(np.int64).max)
        np.minimum.at(earliest, log.user, began)
        began += np.where(earliest < 0, -(earliest // WEEK_US) * WEEK_US, 0)[log.user]
        starts = np.flatnonzero(np.diff(log.user, prepend=-1))
        turn = np.arange(len(log.user)) - np.repeat(starts, np.diff(np.append(starts, len(log.user))))
        parts.append(
            Scripts(
                user=(log.user + low).astype(np.int32),
                turn=turn.astype(np.int32),
                start=began // 1000,
                first=log.first,
                event=words.event[log.event].astype(np.int16),
                item=words.item[log.item].astype(np.int32),
                time=(log.time - np.repeat(log.time[log.first[:-1]], log.lengths)) // 1000,
            )
        )
    return _joined(parts)


def _joined(parts: list[Scripts]) -> Scripts:
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Scripts(none.astype(np.int32), none.astype(np.int32), none, np.zeros(1, dtype=np.int64),
                       none.astype(np.int16), none.astype(np.int32), none)  # fmt: skip
    before = np.cumsum([0, *(len(part.event) for part in parts)])
    first = [part.first[:-1] + base for part, base in zip(parts, before[:-1], strict=True)]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("user", "turn", "start", "event", "item", "time")
    }
    return Scripts(first=np.append(np.concatenate(first), before[-1]), **columns)
