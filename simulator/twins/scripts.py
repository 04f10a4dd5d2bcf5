"""What the twins of a run will do, in the words of its pack and the time of the run.

Twins keep the core's calendar: its hours, its weekdays, its growth. It is moved by whole weeks so that it begins with
the run; who would have come before the run's first hour comes a week later, with all that follows. Every user is a
function of model, seed and number: shards draw their own users and nobody else's. Knows no rules of a product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from personas.errors import TwinError
from personas.pack import Pack
from personas.population import Population
from personas.randomness import root_key
from simulator.twins.artefact import PackNamed
from simulator.twins.draw import Stage, Visits, play_apart, visits_of
from simulator.twins.log import I64
from simulator.twins.model import TwinModel
from simulator.twins.refusing import Refused

DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Script:
    """What happens in s sessions, n events: `first` [s+1] rows, `event` and `item` (rows of the pack's; -1: no item),
    `time` (milliseconds after the start of its session)."""

    first: I64
    event: I64
    item: I64
    time: I64


@dataclass(frozen=True)
class Scripts:
    """All sessions of a run, of which only the beginnings are drawn: `user` (row of the population), `turn` (its number
    within the user), `start` (milliseconds after the start of the run). What happens is drawn when it is due.
    `refused` counts the sessions that nearly equalled a real one."""

    user: npt.NDArray[np.int32]
    turn: npt.NDArray[np.int32]
    start: I64
    visits: Visits
    stage: Stage
    words: Words
    refused: Refused = field(default_factory=Refused)

    def signed_up(self, users: int) -> I64:
        """When each user comes for the first time."""
        found = np.full(users, np.iinfo(np.int64).max)
        np.minimum.at(found, self.user, self.start)
        return found

    def write(self, rows: I64) -> Script:
        """What happens in these sessions."""
        some = self.visits.only(rows)
        event, item, time, session = play_apart(self.stage, some, self.refused)
        lengths = np.bincount(session, minlength=len(rows))
        return Script(
            first=np.append(0, np.cumsum(lengths)), event=self.words.event[event], item=self.words.item[item],
            time=(time - some.start[session]) // 1000,
        )  # fmt: skip


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
    if odd := [name for name in ours if name and name not in events]:
        raise TwinError(
            f"the model speaks of the event {odd[0]!r}, which {pack.product.name} (any more) does not have.",
            hint="Fit it again: the pack has changed since.",
        )
    return Words(
        np.array([events.get(name, -1) for name in ours], dtype=np.int64),
        np.array([items.get(named.items.get(word, word), -1) for word in model.words["item"]] + [-1], dtype=np.int64),
    )


def write_scripts(model: TwinModel, words: Words, population: Population, start: datetime, seed: int) -> Scripts:
    """The sessions of all users of a population (of a shard)."""
    key = root_key("twins of a run", seed)
    begins = round((start - _EPOCH).total_seconds() * 1_000_000)
    shift = (begins - int(model.facts["first"]) // DAY_US * DAY_US) // WEEK_US * WEEK_US
    visits = visits_of(model, population.number, key)
    began = visits.start + shift - begins
    earliest = np.full(len(population), np.iinfo(np.int64).max)
    np.minimum.at(earliest, visits.user, began)
    began += np.where(earliest < 0, -(earliest // WEEK_US) * WEEK_US, 0)[visits.user]
    return Scripts(
        visits.user.astype(np.int32), visits.turn.astype(np.int32), began // 1000, visits, Stage(model), words
    )
