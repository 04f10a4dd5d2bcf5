"""Records what a chooser decides while an engine plays, as traces. It is a chooser itself, around any other.

The recorder looks at the pool at each decision and copies what a Behaviour may look at; what came of the decision (the
place in the slate, the time until the next one) is taken from what the engine played. It changes nothing.
Two ways were weighed: reading traces off the finished events, or looking on. Looking on won: the attempt that a problem
turned into another event, and what was shown and known at that moment, are not in the events.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import U64
from simulator.behaviour.traces import Choices, Traces, no_traces
from simulator.choice import AGENT_ERROR, STEP_BOUND, STEPPED_DOWN
from simulator.choice import Choices as Chosen
from simulator.engine import Engine, Played
from simulator.pool import Pool
from simulator.world import I64, ITEM_OF_SLATE

_NOTED = ("intent", "last", "problem", "reached", "events", "focus", "clock", "slate")


class Recorder:
    """Takes notes for one engine, in place of whose chooser it puts itself. `take` gives the traces of what the engine
    has played since. Sessions that their agent did not walk to the end (its answers failed, or its money) are left
    out; with `agents_only` so are those that no agent walked at all."""

    def __init__(self, engine: Engine, *, agents_only: bool = False) -> None:
        self.engine, self.inner, self.agents_only = engine, engine.chooser, agents_only
        self._notes: list[dict[str, npt.NDArray[Any]]] = []
        self._offers: list[dict[str, npt.NDArray[Any]]] = []
        self._count = 0
        #: The user (row of the engine's population) of each session that `take` gave last.
        self.users: I64 = np.zeros(0, dtype=np.int64)
        engine.chooser = self

    def begin(self, pool: Pool, rows: I64) -> None:
        """As the inner chooser does."""
        self.inner.begin(pool, rows)

    def finish(self, pool: Pool, rows: I64) -> None:
        """As the inner chooser does."""
        self.inner.finish(pool, rows)

    def choose(self, pool: Pool, situation: I64, key: U64) -> Chosen:
        """What the inner chooser chooses, noted down."""
        chosen = self.inner.choose(pool, situation, key)
        bounded = False if chosen.outcome is None else chosen.outcome == STEP_BOUND
        self._note(pool, situation, chosen.event, pool.over | bounded)
        return chosen

    def _note(self, pool: Pool, situation: I64, event: I64, over: npt.NDArray[np.bool_]) -> None:
        noted = {name: getattr(pool, name).copy() for name in _NOTED}
        sessions = self.engine.sessions[pool.user]
        more = {"user": pool.user.copy(), "number": sessions, "situation": situation.copy(), "event": event.copy()}
        self._notes.append(noted | more | {"over": over})
        events = len(self.engine.world.item)
        picks = (event < events) & (self.engine.world.item[np.minimum(event, events - 1)] == ITEM_OF_SLATE) & ~over
        rows = np.flatnonzero(picks)
        if len(rows):
            user, shown = pool.user[rows], pool.shown[rows].copy()
            seen = self.engine.effects.seen[user]
            category = self.engine.world.item_category[np.maximum(shown, 0)]
            self._offers.append(
                {
                    "row": self._count + rows,
                    "slate": pool.slate[rows],
                    "shown": shown,
                    "taste": self.engine.population.tastes[user[:, None], category],
                    "known": (shown[:, :, None] == seen[:, None, :]).any(axis=2) & (shown >= 0),
                }
            )
        self._count += len(pool)

    def take(self, played: Played) -> Traces:
        """The traces of all sessions since the last call; `played` is what the engine played meanwhile. Sessions and
        their decisions are in the order of user, session and step, however the engine's pool was cut."""
        if not self._notes:
            return no_traces(self.engine.world.pack)
        notes = {name: np.concatenate([note[name] for note in self._notes]) for name in self._notes[0]}
        order = np.lexsort((notes["events"], notes["number"], notes["user"]))
        sorted_ = {name: column[order] for name, column in notes.items()}
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        of = _event_rows(sorted_, played)
        dwell = _dwell(sorted_, played, of)
        decided = ~sorted_["over"]
        row = np.cumsum(decided) - 1
        starts = _starts(_key(sorted_["user"], sorted_["number"], 0))
        people, level = self.engine.population, self.engine.effects.appeal_level
        kept = {name: column[decided] for name, column in sorted_.items()}
        user = kept["user"]
        traces = Traces(
            session=(np.cumsum(starts) - 1)[decided],
            persona=people.persona[user].astype(np.int16),
            intent=kept["intent"].astype(np.int16),
            situation=kept["situation"].astype(np.int16),
            last=kept["last"].astype(np.int16),
            problem=kept["problem"].astype(np.int16),
            reached=kept["reached"],
            events=kept["events"].astype(np.int16),
            patience=people.patience[user].astype(np.float32),
            traits=people.traits[user].astype(np.float32),
            focus=kept["focus"].astype(np.int32),
            level=level[user].astype(np.int16),
            event=kept["event"].astype(np.int16),
            dwell=dwell[decided].astype(np.float32),
            weight=np.ones(len(user), dtype=np.float32),
            choices=self._choices(rank, row, sorted_, played, of),
        )
        self._notes, self._offers, self._count = [], [], 0
        user, number = kept["user"][_starts(traces.session)], kept["number"][_starts(traces.session)]
        complete = self._complete(user, number, played)
        self.users = user[complete]
        return traces.of_sessions(complete)

    def _complete(self, user: I64, number: I64, played: Played) -> npt.NDArray[np.bool_]:
        """Whether each session may be learnt from."""
        outcome = played.sessions["outcome"]
        refused = np.isin(outcome, (AGENT_ERROR, STEPPED_DOWN)) | (self.agents_only & (outcome == 0))
        ends = _key(played.sessions["user"].astype(np.int64), played.sessions["session"].astype(np.int64), 0)
        return np.asarray(~np.isin(_key(user, number, 0), ends[refused]))

    def _choices(self, rank: I64, row: I64, notes: dict[str, npt.NDArray[Any]], played: Played, of: I64) -> Choices:
        """What was picked from slates, where the event then happened as decided."""
        if not self._offers:
            return no_traces(self.engine.world.pack).choices
        offers = {name: np.concatenate([offer[name] for offer in self._offers]) for name in self._offers[0]}
        note = rank[offers["row"]]
        event = np.maximum(of[note], 0)
        place = played.events["position"][event].astype(np.int64) - 1
        done = (of[note] >= 0) & (played.events["event"][event] == notes["event"][note]) & (place >= 0)
        kept = np.flatnonzero(done)
        kept = kept[np.argsort(note[kept], kind="stable")]
        user = notes["user"][note[kept]]
        return Choices(
            row=row[note[kept]],
            slate=offers["slate"][kept].astype(np.int16),
            level=self.engine.effects.appeal_level[user].astype(np.int16),
            shown=offers["shown"][kept],
            taste=offers["taste"][kept].astype(np.float32),
            known=offers["known"][kept],
            place=place[kept].astype(np.int16),
        )


def _event_rows(notes: dict[str, npt.NDArray[Any]], played: Played) -> I64:
    """For each note the row of the event that came of it, -1 where none did (leaving)."""
    if not len(played.events["user"]):
        return np.full(len(notes["user"]), -1, dtype=np.int64)
    columns = [played.events[name].astype(np.int64) for name in ("user", "session", "sequence")]
    key, wanted = _key(*columns), _key(notes["user"], notes["number"], notes["events"])
    order = np.argsort(key, kind="stable")
    place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    return np.where(key[order][place] == wanted, order[place], -1)


def _starts(key: I64) -> npt.NDArray[np.bool_]:
    """Where a new key begins."""
    return np.asarray(np.diff(key, prepend=-1) != 0)


def _key(user: I64, session: I64, step: I64 | int) -> I64:
    return np.asarray((((user << 24) + session) << 14) + step)


def _dwell(notes: dict[str, npt.NDArray[Any]], played: Played, of: I64) -> npt.NDArray[np.float64]:
    """Seconds from the loaded page to the next decision; nan where there is none, or where a problem made another event
    of what was decided."""
    dwell = np.full(len(of), np.nan)
    follows = np.flatnonzero((notes["events"][1:] == notes["events"][:-1] + 1) & (of[:-1] >= 0))
    follows = follows[played.events["event"][of[follows]] == notes["event"][follows]]
    event = of[follows]
    spent = notes["clock"][follows + 1] - played.events["time"][event] - played.events["load_ms"][event]
    dwell[follows] = spent / 1000.0
    return dwell
