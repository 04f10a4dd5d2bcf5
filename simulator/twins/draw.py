"""Draws the sessions of fictional users from a twin model.

Everything of user i is a function of (model, key, i): which others are drawn with it changes nothing. So shards and
batches may ask for any users in any order. All sessions are played side by side, a step at a time. Knows no product, no
pack and no Kafka.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.randomness import F64, U64, fold, root_key, uniform
from simulator.twins.bursts import Bursts
from simulator.twins.calendar import land, wide_of
from simulator.twins.descent import F32
from simulator.twins.dwell import Durations
from simulator.twins.fixed_point import RULED_OUT, Player, weights_of
from simulator.twins.fixed_point import draw as draw_class
from simulator.twins.history import History
from simulator.twins.item_player import ItemPlayer
from simulator.twins.items import ItemNetwork, ItemRows
from simulator.twins.log import I64, Log, table_of
from simulator.twins.model import TwinModel
from simulator.twins.near_copies import NearCopies
from simulator.twins.network import Network
from simulator.twins.property_drawing import draw_properties
from simulator.twins.refusing import Drawn, Refused, apart
from simulator.twins.sequence import NEW, NO_ITEM, OLDER, RANKS
from simulator.twins.shapes import shape_from
from simulator.twins.user_state import state, turns_of
from simulator.twins.visits import counts_of, starts_of

#: Users drawn at once, and sessions that are played side by side: as many as a processor's cache has room for.
BLOCK, SIDE_BY_SIDE = 32_768, 8192
#: Behind the length from which on sessions end by and by, one ends at each event with a chance of so many divided by
#: that length, beside what the network says: they become half as long again, about.
TIRED = 2.0
_EVENT, _MODE, _OLDER, _ITEM, _GAP, _WITHIN, _TIRED = range(1, 8)


def part_of(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays whose names begin with `name.`, without it."""
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}


class Stage:
    """A model ready to be played."""

    def __init__(self, model: TwinModel) -> None:
        arrays = model.arrays
        self.shape = shape_from(arrays)
        dwell = part_of(arrays, "dwell")
        bursts, resolution = Bursts(**part_of(arrays, "burst")), int(dwell["resolution"][0])
        self.durations = Durations(dwell["atoms"], dwell["edges"], dwell["quantiles"], resolution, bursts)
        self.event, self.mode, self.gap = (Player(Network(**part_of(arrays, n))) for n in ("event", "mode", "gap"))
        self.of_items = len(arrays["event.code_into"]) > self.shape.pairs
        self.ratio, self.wide = arrays["calendar.ratio"], wide_of(self.durations)
        names = int(arrays["shape.sizes"][-1])
        items = part_of(arrays, "item")
        self.items = ItemPlayer(ItemNetwork(**items), len(model.words["item"]) - names) if items else None
        self.near = NearCopies(arrays, names)
        self.events = len(model.words["event"])
        self.longest, self.tiring = (int(length) for length in arrays["longest"])


@dataclass(frozen=True)
class Visits:
    """Sessions that are still to be played: the user's place in `numbers`, the session's number within the user, when
    it starts (microseconds), its random key, and [n, STATIC] what is known of the user by then."""

    user: I64
    turn: I64
    start: I64
    key: U64
    static: F64

    def only(self, rows: I64) -> Visits:
        """The given ones."""
        return Visits(self.user[rows], self.turn[rows], self.start[rows], self.key[rows], self.static[rows])


def draw(model: TwinModel, numbers: I64, key: np.uint64, refused: Refused | None = None) -> Log:
    """All sessions of the users with these numbers (from 0). In the result `user` is the place in `numbers`, sessions
    are in the order of users and of their starts, and times are those of the core's calendar. `refused` counts what
    nearly equalled a real session."""
    visits = visits_of(model, numbers, key)
    event, item, time, session = play_apart(Stage(model), visits, Refused() if refused is None else refused)
    length = np.bincount(session, minlength=len(visits.user))
    drawn = Log(
        event=event, item=item, time=time, session=session, first=np.append(0, np.cumsum(length)), user=visits.user,
        words=model.words, users=len(numbers),
    )  # fmt: skip
    return draw_properties(model.arrays, model.words, drawn, visits.key)


def visits_of(model: TwinModel, numbers: I64, key: np.uint64) -> Visits:
    """When the users with these numbers come: their sessions, in the order of users and of their starts."""
    user_key = fold(np.uint64(key), numbers)
    count = counts_of(model.arrays, user_key)
    user = np.repeat(np.arange(len(numbers)), count)
    turn = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    session_key = fold(user_key[user], turn + 1_000_000)
    start = starts_of(model.arrays, user_key, user, turn, count, session_key)
    start = start[np.lexsort((start, user))]
    return Visits(user, turn, start, session_key, state(*turns_of(user, start)))


def sample(model: TwinModel, sessions: int, key: np.uint64, refused: Refused | None = None) -> pa.Table:
    """So many sessions as a log, users 0, 1, 2, ... one after the other; of the last user maybe not all. Ids are hashes
    of the key: `twin-` and a number in hexadecimal, with `-<session>` behind it."""
    parts, have, first = [], 0, 0
    shares = model.arrays["visits.counts"]
    visits = float(shares @ np.arange(1, len(shares) + 1))
    while have < sessions:
        count = int(np.clip((sessions - have) / visits * 1.1 + 16, 16, BLOCK))
        log = draw(model, np.arange(first, first + count), key, refused)
        wanted = min(len(log.user), sessions - have)
        log = _head(log, wanted)
        words = fold(root_key("twin", int(key)), np.arange(first, first + count))
        names = [f"twin-{word:016x}" for word in words.tolist()]
        starts = np.flatnonzero(np.diff(log.user, prepend=-1))
        turn = np.arange(wanted) - np.repeat(starts, np.diff(np.append(starts, wanted)))
        ids = [f"{names[user]}-{number}" for user, number in zip(log.user.tolist(), turn.tolist(), strict=True)]
        parts.append(table_of(log, names, ids))
        have, first = have + wanted, first + count
    return pa.concat_tables(parts)


def _head(log: Log, sessions: int) -> Log:
    rows = int(log.first[sessions])
    return Log(
        log.event[:rows], log.item[:rows], log.time[:rows], log.session[:rows], log.first[: sessions + 1],
        log.user[:sessions], log.words, log.users, {name: column[:rows] for name, column in log.more.items()},
    )  # fmt: skip


def play_apart(stage: Stage, visits: Visits, refused: Refused) -> Drawn:
    """The same as `play`, without sessions that nearly equal one of the core."""

    def again(rows: I64, key: U64) -> Visits:
        return replace(visits.only(rows), key=key)

    return apart(stage.near, partial(play, stage), again, visits, refused)


def play(stage: Stage, visits: Visits) -> Drawn:
    """Event, item, time and session of every event, sorted by session. What happens in a session depends on nothing but
    its own row: any of them may be played together."""
    parts = []
    for first in range(0, max(len(visits.user), 1), SIDE_BY_SIDE):
        some = np.arange(first, min(first + SIDE_BY_SIDE, len(visits.user)))
        event, item, time, session = _played(stage, visits.only(some))
        parts.append((event, item, time, session + first))
    event, item, time, session = (np.concatenate([part[column] for part in parts]) for column in range(4))
    return event, item, time, session


def _played(stage: Stage, visits: Visits) -> tuple[I64, I64, I64, I64]:
    key, shape = visits.key, stage.shape
    history = History(shape, visits.start, visits.static)
    active = np.arange(len(key))
    parts = []
    for step in range(stage.longest):
        bits = fold(key[active], step + 1000)
        inputs = history.inputs(shape.columns + shape.modes)
        logits = stage.event.logits(inputs[:, : shape.inputs], history.codes() if stage.of_items else history.pair())
        if not step:
            logits[:, stage.events] = RULED_OUT
        event = draw_class(weights_of(logits), uniform(fold(bits, _EVENT)))
        on = event < stage.events
        if step >= stage.tiring:
            on &= uniform(fold(bits, _TIRED)) >= TIRED / stage.tiring
        if not on.all():
            history.keep(on)
            active, bits, inputs, event = active[on], bits[on], inputs[on], event[on]
        if not len(active):
            break
        rows = np.arange(len(active))
        inputs[rows, shape.inputs + shape.column[event]] = 1.0
        mode, item = _item(stage, history, inputs[:, : shape.inputs + shape.columns], event, bits)
        time = history.time
        if step:
            inputs[rows, shape.inputs + shape.columns + mode] = 1.0
            logits = stage.gap.logits(inputs, history.pair_with(event))
            bursts = stage.durations.bursts
            if len(bursts):
                out = (bursts.end <= time[:, None]) | (bursts.event != event[:, None])
                logits[:, stage.durations.plain :][out] = RULED_OUT
            kind = draw_class(weights_of(logits), uniform(fold(bits, _GAP)))
            time = land(stage.durations, stage.ratio, stage.wide, event, kind, time, fold(bits, _WITHIN))
        history.add(event, mode, item, time)
        parts.append((event, item, time, active))
    joined = [np.concatenate([part[column] for part in parts]) for column in range(4)]
    order = np.argsort(joined[3], kind="stable")
    event, item, time, session = (column[order] for column in joined)
    return event, item, time, session


def _item(stage: Stage, history: History, known: F32, event: I64, bits: U64) -> tuple[I64, I64]:
    """How the item is chosen, and the item (-1: none)."""
    if stage.items is None:
        return np.full(len(event), NO_ITEM), np.full(len(event), -1)
    logits = stage.mode.logits(known, history.pair_with(event))
    rank = np.arange(1, RANKS + 1)
    logits[:, 1 : RANKS + 1][history.distinct[:, None] < rank] = RULED_OUT
    logits[history.distinct <= RANKS, OLDER] = RULED_OUT
    mode = draw_class(weights_of(logits), uniform(fold(bits, _MODE)))
    spread = np.minimum(history.distinct, history.recent.shape[1]) - RANKS
    older = RANKS + (uniform(fold(bits, _OLDER)) * np.maximum(spread, 1)).astype(np.int64)
    place = np.where(mode == OLDER, older, np.clip(mode - 1, 0, RANKS - 1))
    item = np.where(mode == NO_ITEM, -1, history.recent[np.arange(len(event)), place].astype(np.int64))
    new = np.flatnonzero(mode == NEW)
    if len(new):
        rows = ItemRows(known[new], event[new], history.items_before[new], history.recent[new])
        item[new] = stage.items.draw(rows, fold(bits[new], _ITEM))
    return mode, item
