"""Real sessions as examples: what the history was, and what came next, event by event.

An event is learnt as four questions, each answered given what is known so far: which event (or the end of the session);
how its item is chosen (none, one of the session's recent items by recency, a new one); which new item; how long after
the event before. Weighed against one question about the combination: that has too many answers to learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personas.randomness import F64
from simulator.twins.descent import F32, Bools
from simulator.twins.dwell import Durations
from simulator.twins.history import NONE, RECENT, History, Shape
from simulator.twins.items import ItemRows
from simulator.twins.log import I64, Log

#: Ways of choosing an item: none; the 1st to 8th most recent of the session; one of those before; a new one.
NO_ITEM, RANKS = 0, 8
OLDER, NEW = RANKS + 1, RANKS + 2
MODES = RANKS + 3


@dataclass(frozen=True)
class Examples:
    """R rows: every event of every session, and every end. inputs [R, D]; event [R] (the end is `events`); mode, item,
    kind (class of the gap; -1 for first events) [R], for ends meaningless; items: what an item network is told;
    session [R]; ends [R]; codes [R, 2], pair_with [R, 1]: see `History`."""

    inputs: F32
    event: I64
    mode: I64
    kind: I64
    items: ItemRows
    item: I64
    session: I64
    ends: Bools
    codes: I64
    pair_with: I64


def mode_of(item: I64, history: History) -> I64:
    """How an item was chosen, given the history before it."""
    found = history.recent == item[:, None]
    place = np.where(found.any(axis=1), found.argmax(axis=1), RECENT)
    mode = np.where(place < RANKS, place + 1, np.where(place < RECENT, OLDER, NEW))
    return np.where(item < 0, NO_ITEM, mode)


def examples_of(log: Log, shape: Shape, durations: Durations, static: F64) -> Examples:
    """The examples of all sessions of a log, step by step (not session by session)."""
    lengths = log.lengths
    order = np.argsort(-lengths, kind="stable")
    total = len(log.event) + len(lengths)
    inputs = np.empty((total, shape.inputs), dtype=np.float32)
    columns = {name: np.full(total, NONE) for name in ("event", "mode", "kind", "item", "session")}
    codes, pair_with = np.empty((total, 2), np.int64), np.empty((total, 1), np.int64)
    last = np.empty((total, 3), dtype=np.int32)
    recent = np.empty((total, RECENT), dtype=np.int32)
    ends = np.zeros(total, dtype=np.bool_)
    history = History(shape, log.time[log.first[order]], static[order])
    done, active = 0, order
    for step in range(int(lengths.max()) + 1):
        rows = slice(done, done + len(active))
        inputs[rows], last[rows], recent[rows] = history.inputs(), history.items_before, history.recent
        on = lengths[active] > step
        place = log.first[active] + np.minimum(step, lengths[active] - 1)
        event, item, time = log.event[place], log.item[place], log.time[place]
        ends[rows] = ~on
        columns["session"][rows], columns["event"][rows] = active, np.where(on, event, len(log.words["event"]))
        columns["item"][rows], columns["mode"][rows] = item, mode_of(item, history)
        codes[rows], pair_with[rows] = history.codes(), history.pair_with(event)
        if step:
            columns["kind"][rows] = np.where(on, durations.class_of(event, history.time, time), NONE)
        done += len(active)
        mode = columns["mode"][rows]
        if not on.all():
            history.keep(on)
            active, event, item, time, mode = active[on], event[on], item[on], time[on], mode[on]
        if not len(active):
            break
        history.add(event, mode, item, time)
    items = ItemRows(inputs, columns["event"], last, recent)
    return Examples(
        inputs=inputs, event=columns["event"], mode=columns["mode"], kind=columns["kind"], items=items,
        item=columns["item"], session=columns["session"], ends=ends,
        codes=codes, pair_with=pair_with,
    )  # fmt: skip
