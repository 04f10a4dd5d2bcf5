"""Traces from messages: the events and labels of finished sessions, as they are on the topics or in a dump of them.

So sessions that were sent by any teacher at any time can teach, not only those that a recorder looked on at. Each
session is gone through again by the world's rules: screen, counters, what is in focus, what is shown. Sessions without
a label of their own and of their user (persona, intent, traits) are left out and counted, and so are those that go
against the rules. Patience is on no topic: it is taken as the persona's median. Events that do not say what they showed
(`slate.items`) are taken to have shown a whole slate, and the items chosen from it teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from personas import event as contract
from personas.population import trait_names
from simulator.behaviour.traces import Choices, Traces, no_traces
from simulator.effects import SEEN
from simulator.engine import MAX_EVENTS_PER_SESSION
from simulator.world import BAG, BAG_ADD, BAG_EMPTY, BAG_REMOVE, FOCUS, ITEM_IN_FOCUS, ITEM_OF_SLATE, PAGE, SHOWN, World

Message = Mapping[str, Any]


@dataclass
class Read:
    """The traces that were read, the user (as messages call them) of each session, and how many sessions were left
    out: `unlabelled`, or `unlawful`."""

    traces: Traces
    users: list[str] = field(default_factory=list)
    unlabelled: int = 0
    unlawful: int = 0


@dataclass
class _Session:
    """One session while it is gone through."""

    screen: int
    counters: list[int]
    last: int
    problem: int = -1
    focus: int = -1
    reached: bool = False
    shown: list[int] | None = None
    slate: int = -1


@dataclass
class _Rows:
    decisions: list[tuple[Any, ...]] = field(default_factory=list)
    choices: list[tuple[Any, ...]] = field(default_factory=list)


def read_traces(messages: Iterable[Message], world: World, levels: int) -> Read:
    """The traces of all sessions among the messages (decoded envelopes, in any order), in the order of user and time.
    `levels` is the number of rows of `Behaviour.appeal`."""
    events: dict[str, list[Message]] = {}
    labels: dict[str, Message] = {}
    users: dict[str, Message] = {}
    for message in messages:
        if message["type"] == contract.SESSION_LABEL:
            labels[message["sessionid"]] = message
        elif message["type"] == contract.USER_LABEL:
            users[message["subject"]] = message
        elif message["type"] in world.pack.product.events:
            events.setdefault(message["sessionid"], []).append(message)
    reader, rows = _Reader(world, levels), _Rows()
    result = Read(no_traces(world.pack))
    order = sorted(events, key=lambda name: (events[name][0]["subject"], min(each["time"] for each in events[name])))
    seen: dict[str, list[int]] = {}
    number = 0
    for name in order:
        user = events[name][0]["subject"]
        if name not in labels or user not in users:
            result.unlabelled += 1
            continue
        begun = (len(rows.decisions), len(rows.choices))
        if reader.read(number, events[name], labels[name], users[user], seen.setdefault(user, []), rows):
            number += 1
            result.users.append(user)
        else:
            result.unlawful += 1
            del rows.decisions[begun[0] :], rows.choices[begun[1] :]
    result.traces = reader.traces(rows)
    return result


class _Reader:
    """Tables of a pack by name, and the rules of the world applied to one event after another."""

    def __init__(self, world: World, levels: int) -> None:
        self.world, self.levels, product = world, levels, world.pack.product
        self.names = list(product.events)
        self.personas = {persona.name: row for row, persona in enumerate(world.pack.personas)}
        self.intents = {name: row for row, name in enumerate(product.intents)}
        self.problems = {name: row for row, name in enumerate(product.problems)}
        self.traits = trait_names(world.pack)
        self.items = {item.id: row for row, item in enumerate(world.pack.catalog.items)}
        self.categories = world.pack.catalog.categories
        self.start = world.situations.screens.index(product.start)
        self.widest = max((slate.size for slate in product.slates.values()), default=1)
        self.sources = {
            name: {prop.source: key for key, prop in event.properties.items() if prop.source}
            for name, event in product.events.items()
        }

    def read(
        self, number: int, events: list[Message], label: Message, user: Message, seen: list[int], rows: _Rows
    ) -> bool:
        """Go through one session; False when it goes against the rules."""
        events = sorted(events, key=lambda each: int(each["id"].rsplit(".", 1)[1]))
        told, world, nothing = label["data"], self.world, len(self.names)
        struck = {int(each["sequence"]): self.problems[each["problem"]] for each in told["problems"]}
        persona, intent = self.personas.get(told["persona"], -1), self.intents.get(told["intent"], -1)
        if persona < 0 or intent < 0:
            return False
        traits = [user["data"]["traits"].get(name, 0.5) for name in self.traits]
        patience = world.pack.personas[persona].patience.median
        level, now = self._level(traits), _Session(self.start, [0] * len(world.situations.counters), nothing)
        times = [_milliseconds(each["time"]) for each in events]

        def decide(step: int, situation: int, event: int, dwell: float) -> None:
            rows.decisions.append(
                (number, persona, intent, situation, now.last, now.problem, now.reached, step, patience, traits,
                 now.focus, level, event, dwell, 1.0)
            )  # fmt: skip

        for step, message in enumerate(events):
            name, data = message["type"], message["data"]
            event, problem = self.names.index(name), struck.get(step, -1)
            situation = self._situation(now)
            attempt = event if problem < 0 else self._attempt(event, problem, situation)
            if situation < 0 or attempt < 0 or not world.legal[situation, attempt]:
                return False
            follows = step + 1 < len(events) and attempt == event
            load = float(data.get(self.sources[name].get("load_seconds", ""), 0.0)) * 1000
            dwell = (times[step + 1] - times[step] - round(load)) / 1000 if follows else np.nan
            decide(step, situation, attempt, max(dwell, 0.001) if follows else np.nan)
            self._choose(now, event, attempt, level, data, user, seen, rows)
            self._act(now, event, problem, data, seen)
            now.reached |= event == world.goal[intent]
        if (now.problem >= 0 and world.problem_ends[now.problem]) or len(events) >= MAX_EVENTS_PER_SESSION:
            return True
        situation = self._situation(now)
        if situation < 0 or not world.legal[situation, -1]:
            return False
        decide(len(events), situation, nothing, np.nan)
        return True

    def _level(self, traits: list[float]) -> int:
        trait = self.world.pack.product.choice.price_trait
        value = 0.0 if trait is None else traits[self.traits.index(trait)]
        return min(int(value * self.levels), self.levels - 1)

    def _situation(self, now: _Session) -> int:
        screen, counters = np.array([now.screen]), np.array([now.counters])
        return int(self.world.situation(screen, counters)[0])

    def _attempt(self, event: int, problem: int, situation: int) -> int:
        """What was attempted when a problem struck; -1 where that cannot be told."""
        if self.world.problem_emits[problem] != event:
            return event
        at = np.flatnonzero((self.world.problem_rate[:, problem] > 0) & self.world.legal[situation, :-1])
        return int(at[0]) if len(at) == 1 else -1

    def _choose(
        self, now: _Session, event: int, attempt: int, level: int, data: Mapping[str, Any], user: Message,
        seen: list[int], rows: _Rows,
    ) -> None:  # fmt: skip
        """Note which of the items shown was chosen, where that is known."""
        position = data.get(self.sources[self.names[event]].get("position", ""), 0)
        if self.world.item[event] != ITEM_OF_SLATE or attempt != event or not now.shown or not position:
            return
        shown = now.shown + [-1] * (self.widest - len(now.shown))
        tastes = user["data"]["tastes"]
        taste = [
            tastes[self.categories[self.world.item_category[item]]] if item >= 0 else 0.0 for item in shown
        ]  # fmt: skip
        known = [item >= 0 and item in seen[-SEEN:] for item in shown]
        rows.choices.append((len(rows.decisions) - 1, now.slate, level, shown, taste, known, int(position) - 1))

    def _act(self, now: _Session, event: int, problem: int, data: Mapping[str, Any], seen: list[int]) -> None:
        """What the event does; the same steps in the same order as the engine's."""
        world, name, counters = self.world, self.names[event], now.counters
        mode, item = int(world.item[event]), -1
        if mode == ITEM_IN_FOCUS:
            item = now.focus
        elif mode:
            item = self.items.get(data.get(world.pack.product.item_property or "", ""), -1)
        if mode == ITEM_OF_SLATE:
            seen.append(item)
        bag = int(world.bag[event])
        counters[BAG] = 0 if bag == BAG_EMPTY else counters[BAG] + {BAG_ADD: 1, BAG_REMOVE: -1}.get(bag, 0)
        if world.slate[event] >= 0:
            now.slate = int(world.slate[event])
            items = data.get(self.sources[name].get("slate.items", ""))
            empty = problem >= 0 and bool(world.problem_empties[problem])
            now.shown = [] if empty else None if items is None else [self.items.get(each, -1) for each in items]
            size = list(world.pack.product.slates.values())[now.slate].size
            counters[PAGE] = counters[PAGE] + 1 if world.next_page[event] else 0
            counters[SHOWN] = 0 if empty else size if items is None else len(items)
        for column, change in enumerate(world.change[event].tolist()):
            value = 0 if world.clear[event, column] else counters[column] + change
            counters[column] = max(0, min(value, int(world.limit[column])))
        now.focus = item if item >= 0 else -1 if world.clear[event, FOCUS] else now.focus
        counters[FOCUS] = int(now.focus >= 0)
        now.screen = int(world.to[event]) if world.to[event] >= 0 else now.screen
        now.last, now.problem = event, problem

    def traces(self, rows: _Rows) -> Traces:
        """All rows as arrays."""
        empty = no_traces(self.world.pack)
        if not rows.decisions:
            return empty
        columns = dict(zip(_COLUMNS, zip(*rows.decisions, strict=True), strict=True))
        arrays = {name: np.array(values, dtype=getattr(empty, name).dtype) for name, values in columns.items()}
        choices = empty.choices
        if rows.choices:
            chosen = dict(zip(Choices.__annotations__, zip(*rows.choices, strict=True), strict=True))
            choices = Choices(
                **{name: np.array(values, dtype=getattr(empty.choices, name).dtype) for name, values in chosen.items()}
            )
        return Traces(**arrays, choices=choices)


_COLUMNS = tuple(name for name in Traces.__annotations__ if name != "choices")


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
