"""Plays the scripts of twins in the world of a pack: every event legal, every item shown, nothing of them lost in vain.

Two ways were weighed. A chooser inside the engine, asked at every step which event comes next: then the engine decides
when people come, has one session a user at a time and picks items from what its rankings show, so hours, returns and
items would be the engine's, and a model that looks far back would be asked event by event. Or sessions drawn whole by
the model, and joined to the rest where messages are made: this one. The world keeps its say: an event that is not legal
is led up to by the pack's own events (`bridges`) or left out, and both are counted. On a pack that was inferred from
the core, nothing has to be bridged.

A slate shows what the pack's ranking shows, and in some of its places what its twin is going to take from it. So nobody
knows the propensities of such slates, nor the intents of twins, and no labels are made up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from personas.population import Population
from personas.randomness import fold, interpolate, uniform
from simulator.behaviour.model import Behaviour
from simulator.columns import Columns
from simulator.effects import CATEGORY, Effects
from simulator.engine import EVENT_COLUMNS, LOAD, SESSION_COLUMNS, Played
from simulator.pool import Pool
from simulator.slates import Rankings
from simulator.twins.bridges import LONGEST, build_bridges
from simulator.twins.log import I64
from simulator.twins.scripts import Scripts
from simulator.world import BAG as BAG_COUNT
from simulator.world import (
    FOCUS,
    ITEM_IN_FOCUS,
    ITEM_OF_CATALOG,
    ITEM_OF_SLATE,
    PAGE,
    SHOWN,
    World,
)  # fmt: skip

#: Milliseconds for an event that was put in where there is no time between two of the twin's.
_HASTE = 1000
LONGEST_SESSION = 30_000
#: Sessions played side by side.
BATCH = 16_384


@dataclass
class Told:
    """What became of the twins' events: played as they were drawn (`kept`), put in for the pack's sake (`bridged`),
    with another item than drawn (`redirected`), not played (`left_out`). Of sessions: those that nearly equalled
    a real one and were drawn again (`refused`), or had to be `cut`."""

    kept: int = 0
    bridged: int = 0
    redirected: int = 0
    left_out: int = 0
    refused: int = 0
    cut: int = 0

    def counts(self) -> dict[str, int]:
        """For the manifest."""
        return {f"twins.{name}": count for name, count in vars(self).items() if name != "kept"}


@dataclass
class _Cursor:
    """Where each session of a pool stands in its script: `row` the session, `at` the next event, `end` behind the last;
    `steps` events put in since the last of its own; `shift` by how much it is late."""

    row: I64
    at: I64
    end: I64
    steps: I64
    shift: I64

    def keep(self, rows: I64) -> None:
        for name, column in vars(self).items():
            setattr(self, name, column[rows])


class TwinEngine:
    """Plays scripts. `play(until)` may be called with any rising instants; what it returns together does not depend on
    them. The surface is that of `simulator.engine.Engine`, as far as a run needs it."""

    def __init__(
        self, population: Population, world: World, behaviour: Behaviour, rankings: Rankings, scripts: Scripts
    ) -> None:
        self.population, self.world, self.behaviour, self.scripts = population, world, behaviour, scripts
        # what a user opened lately decides nothing here: sessions of one user may overlap, and have no order then
        self.effects = Effects(population, world, replace(behaviour, seen=1.0), rankings)
        self.bridges = build_bridges(world)
        self.told = Told()
        self._order = np.argsort(scripts.start, kind="stable")
        self._starts = scripts.start[self._order]
        self._next = 0
        self._events = Columns(EVENT_COLUMNS, capacity=1 << 16)
        self._sessions = Columns(SESSION_COLUMNS)

    def play(self, until: int) -> Played:
        """Every session that starts before `until` (milliseconds after the start of the run), to its end."""
        last = int(np.searchsorted(self._starts, until, side="left"))
        rows, self._next = self._order[self._next : last], max(last, self._next)
        rows = np.sort(rows)
        for low in range(0, len(rows), BATCH):
            self._play(rows[low : low + BATCH])
        slates, bags = self.effects.slates.take(), self.effects.bags.take()
        self.told.refused, self.told.cut = self.scripts.refused.refused, self.scripts.refused.cut
        return Played(self._events.take(), self._sessions.take(), slates, bags["items"])

    def _play(self, rows: I64) -> None:
        scripts, world = self.scripts, self.world
        pool = Pool.start(scripts.user[rows].astype(np.int64), world)
        here = np.arange(len(rows))
        key = fold(self.population.key[pool.user], scripts.turn[rows].astype(np.int64) + 1_000_000)
        pool.begin(here, key, scripts.start[rows], np.zeros(len(rows), dtype=np.int64), world)
        pool.category[:] = self.effects.draw_category(pool.user, fold(key, CATEGORY))
        self._script = script = scripts.write(rows)
        end = np.minimum(script.first[1:], script.first[:-1] + LONGEST_SESSION)
        zeros = np.zeros(len(rows), dtype=np.int64)
        cursor = _Cursor(rows, script.first[:-1].copy(), end, zeros, zeros.copy())
        while len(pool):
            self._step(pool, cursor)
            over = cursor.at >= cursor.end
            if over.any():
                self._finish(pool, cursor, np.flatnonzero(over))
                going = np.flatnonzero(~over)
                pool.keep(going)
                cursor.keep(going)

    def _step(self, pool: Pool, cursor: _Cursor) -> None:
        """One event for every session: the next of its script, or one that leads up to it; or the next is left out."""
        world, bridges = self.world, self.bridges
        wanted, item = self._script.event[cursor.at], self._script.item[cursor.at]
        situation = world.situation(pool.screen, pool.counters)
        known = wanted >= 0  # the pack has no such event: it is left out
        legal = known & world.legal[situation, wanted]
        mode = world.item[wanted]
        place = self._place_of(pool, item)
        astray = legal & (item >= 0) & (mode == ITEM_IN_FOCUS) & (pool.focus != item)
        unseen = legal & (item >= 0) & (mode == ITEM_OF_SLATE) & (place < 0)
        event = np.where(legal, wanted, np.where(known, bridges.first[situation, wanted], -1))
        left = np.where(legal, 0, bridges.length[situation, wanted])
        event = np.where(astray, bridges.view[situation], event)
        left = np.where(astray, bridges.view_length[situation], left)
        views = (
            astray & (event >= 0) & (world.item[event] == ITEM_OF_SLATE) & world.legal[situation, event] & (place < 0)
        )
        event = np.where(unseen | views, bridges.show[situation], event)
        left = np.where(unseen | views, bridges.show_length[situation], left)
        # no way, or too long a one: what is legal happens with another item, what is not is left out
        stuck = (event < 0) | (left > LONGEST) | (cursor.steps >= LONGEST)
        event = np.where(stuck & legal, wanted, event)
        own = event == wanted
        own &= legal & ~((astray | unseen | views) & ~stuck)
        dropped = stuck & ~legal
        self.told.left_out += int(dropped.sum())
        cursor.at += dropped
        cursor.steps[dropped] = 0
        rows = np.flatnonzero(~dropped)
        if len(rows):
            some = pool.view(rows) if len(rows) < len(pool) else pool
            self._act(some, cursor, rows, event[rows], item[rows], own[rows], left[rows])
            if some is not pool:
                for name, column in vars(some).items():
                    getattr(pool, name)[rows] = column

    def _place_of(self, pool: Pool, item: I64) -> I64:
        """[n]: the place (from 0) of each item on the slate on the screen; -1 where it is not there."""
        there = (pool.shown == item[:, None]) & (item >= 0)[:, None]
        there &= (pool.counters[:, SHOWN] > 0)[:, None]
        return np.where(there.any(axis=1), there.argmax(axis=1), -1)

    def _act(
        self, pool: Pool, cursor: _Cursor, rows: I64, event: I64, item: I64, own: npt.NDArray[np.bool_], left: I64
    ) -> None:
        """The events happen; `item` is the one that the script asks for next, `own` where the event is the script's."""
        world, effects = self.world, self.effects
        self._tell_time(pool, cursor, rows, own, left)
        key = fold(pool.key, pool.events)
        mode = world.item[event]
        asks = own | np.isin(mode, (ITEM_OF_SLATE, ITEM_OF_CATALOG))
        taken = effects.choose_item(pool, key, event, np.where(asks, self._place_of(pool, item), -1))
        given = (mode == ITEM_OF_CATALOG) & (item >= 0) & asks
        taken = np.where(given, item, taken).astype(np.int32)
        self.told.redirected += int((own & (mode != 0) & (item >= 0) & (taken != item)).sum())
        position = pool.position.copy()
        effects.fill_bag(pool, event, taken)
        bag_row = effects.keep_bags(pool, event)
        bag_count, bag_cents = pool.counters[:, BAG_COUNT].copy(), pool.bag_cents.copy()
        effects.empty_bag(pool, event)
        effects.set_category(pool, key, event, taken)
        shows = np.flatnonzero(world.slate[event] >= 0)
        wishes = self._wishes(cursor.at[rows[shows]] + own[shows], cursor.end[rows[shows]])
        nothing = np.full(len(pool), -1, dtype=np.int64)
        slate_row = effects.show_slates(pool, key, event, nothing, wishes)
        pool.counters += world.change[event]
        pool.counters[world.clear[event]] = 0
        np.clip(pool.counters, 0, world.limit, out=pool.counters)
        pool.focus = np.where(taken >= 0, taken, np.where(world.clear[event, FOCUS], -1, pool.focus))
        pool.counters[:, FOCUS] = pool.focus >= 0
        load_ms = (interpolate(self.behaviour.load, uniform(fold(key, LOAD))) * 1000).astype(np.int64)
        self._events.append(
            len(pool), user=pool.user, session=self.scripts.turn[cursor.row[rows]], sequence=pool.events,
            time=pool.clock, event=event, item=taken, position=position, category=pool.category,
            page=pool.counters[:, PAGE], shown=pool.counters[:, SHOWN], slate=slate_row, bag=bag_row,
            bag_count=bag_count, bag_cents=bag_cents, load_ms=load_ms, problem=nothing, intent=pool.intent,
        )  # fmt: skip
        pool.ended = pool.clock.copy()
        pool.screen = np.where(world.to[event] >= 0, world.to[event], pool.screen)
        pool.events += 1
        pool.last = event
        won = np.flatnonzero(event == world.conversion)
        if len(won):
            pool.converted[won] = True
            pool.value_cents[won] += effects.worth(key[won], taken[won], bag_cents[won])
        cursor.at[rows] += own
        cursor.steps[rows] = np.where(own, 0, cursor.steps[rows] + 1)
        self.told.kept += int(own.sum())
        self.told.bridged += int((~own).sum())

    def _tell_time(self, pool: Pool, cursor: _Cursor, rows: I64, own: npt.NDArray[np.bool_], left: I64) -> None:
        """Set the clocks. What is put in shares the time up to the script's next event; where there is none, the rest
        of the session is late by it. The first event is always at the start."""
        due = self.scripts.start[cursor.row[rows]] + self._script.time[cursor.at[rows]] + cursor.shift[rows]
        begun = pool.events > 0
        pause = np.where(begun, np.maximum((due - pool.clock) // (np.maximum(left, 1) + 1), _HASTE), 0)
        earliest = pool.clock + np.where(cursor.steps[rows] > 0, _HASTE, 0)
        late = np.where(own, np.maximum(earliest - due, 0), 0)
        cursor.shift[rows] += late
        pool.clock = np.where(own, due + late, pool.clock + pause)

    def _wishes(self, at: I64, end: I64) -> npt.NDArray[np.int32]:
        """[n, widest]: the items that each script takes before it shows the next slate, -1 behind them."""
        widest = self.effects.rankings.examination.shape[1]
        wishes = np.full((len(at), widest), -1, dtype=np.int32)
        count, going = np.zeros(len(at), dtype=np.int64), at < end
        for ahead in range(2 * widest):
            rows = np.flatnonzero(going & (at + ahead < end) & (count < widest))
            if not len(rows):
                break
            event, item = self._script.event[at[rows] + ahead], self._script.item[at[rows] + ahead]
            shows = (event >= 0) & (self.world.slate[event] >= 0)
            going[rows[shows]] = False
            new = ~shows & (event >= 0) & (item >= 0) & ~(wishes[rows] == item[:, None]).any(axis=1)
            new &= (self.world.item[event] == ITEM_OF_SLATE) | (self.world.item[event] == ITEM_IN_FOCUS)
            wishes[rows[new], count[rows[new]]] = item[new]
            count[rows[new]] += 1
        return wishes

    def _finish(self, pool: Pool, cursor: _Cursor, rows: I64) -> None:
        """Sessions that are over; those of which nothing could be played were never there."""
        rows = rows[pool.events[rows] > 0]
        user = pool.user[rows]
        self._sessions.append(
            len(rows), user=user, session=self.scripts.turn[cursor.row[rows]], started=pool.started[rows],
            ended=pool.ended[rows], events=pool.events[rows], items=pool.items[rows], converted=pool.converted[rows],
            value_cents=pool.value_cents[rows], intent=pool.intent[rows], reached=pool.reached[rows],
            satisfaction=self.population.satisfaction[user], churned=False, weight=1.0, history_weight=1.0, outcome=0,
        )  # fmt: skip
