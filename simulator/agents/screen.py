"""The screen as text: what an agent sees before a decision, and what it may answer.

Everything comes from the world and the pool: which items are shown in which places, which actions are legal in the
situation, what just went wrong. A `Scene` says in words what the engine knows in numbers, and an `Offer` says what an
answer may name; so what an agent reads and what it is held to cannot differ. Lines about items, screens and actions
are made once: a scene takes some ten microseconds. Knows no prompt and no language model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from personas.population import Population, device_names, trait_names
from personas.product import PropertySpec
from simulator.agents.prompt import data
from simulator.choice import may_choose
from simulator.pool import Pool
from simulator.world import BAG, DRAW, ITEM_OF_SLATE, NO_ITEM, PAGE, SHOWN, World

LEAVE, NONE = "leave", "none"
#: Bounds of what an answer may say.
LONGEST_DWELL_SECONDS = 1800
LONGEST_WORDS = 400
LONGEST_REASON = 100
BUILT_IN = 4


@dataclass(frozen=True)
class Offer:
    """What one decision may answer. `events` maps the names of legal actions to rows of events (E: leave), `items` the
    ids on the screen to places (from 0), `categories` their names to numbers where an action draws one. `takes`,
    `draws` and `writes` are the actions that take an item, draw a category or want words."""

    events: Mapping[str, int]
    items: Mapping[str, int]
    categories: Mapping[str, int]
    takes: frozenset[str]
    draws: frozenset[str]
    writes: frozenset[str]

    @property
    def forced(self) -> str | None:
        """The action that is left when there is no choice of any kind."""
        if len(self.events) != 1:
            return None
        (only,) = self.events
        return None if only in self.takes or only in self.draws or only in self.writes else only

    @property
    def exact_schema(self) -> dict[str, Any]:
        """The JSON schema of an answer that names only what is offered: one object, every field required."""
        return answer_schema(
            self.events,
            {"type": "string", "enum": [*self.items, NONE]} if self.takes else None,
            self.categories if self.draws else None,
            bool(self.writes),
        )


def answer_schema(
    actions: Iterable[str], item: dict[str, Any] | None, categories: Iterable[str] | None, words: bool
) -> dict[str, Any]:
    """An answer with these actions; `item` is the schema of an item's id. What is None is not asked for."""
    fields: dict[str, Any] = {
        "reason": {"type": "string", "maxLength": LONGEST_REASON},
        "action": {"type": "string", "enum": list(actions)},
    }
    if item is not None:
        fields["item"] = item
    if categories is not None:
        fields["category"] = {"type": "string", "enum": [*categories, NONE]}
    if words:
        fields["words"] = {"type": "string", "maxLength": LONGEST_WORDS}
    fields["dwell_seconds"] = {"type": "integer", "minimum": 1, "maximum": LONGEST_DWELL_SECONDS}
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def steady_schema(world: World) -> dict[str, Any]:
    """The schema that fits every answer about a product, whatever the moment offers."""
    specs = world.pack.product.events
    chosen = [name for name, spec in specs.items() if spec.weight > 0]
    takes, draws = (world.item == ITEM_OF_SLATE).any(), (world.category == DRAW).any()
    writes = any(wants_words(spec) for name in chosen for spec in specs[name].properties.values())
    item = {"type": "string", "maxLength": 40} if takes else None
    return answer_schema([*chosen, LEAVE], item, world.pack.catalog.categories if draws else None, writes)


@dataclass(frozen=True)
class _Situation:
    """What is the same whenever the situation comes up."""

    events: Mapping[str, int]
    takes: frozenset[str]
    draws: frozenset[str]
    writes: frozenset[str]
    lines: str


class Screens:
    """Describes the sessions of one population in one world."""

    def __init__(self, world: World, population: Population) -> None:
        self.world, self.population = world, population
        pack = world.pack
        self.product, self.events = pack.product, list(pack.product.events)
        self.category_names = pack.catalog.categories
        self.categories = {name: number for number, name in enumerate(pack.catalog.categories)}
        self.ids = [item.id for item in pack.catalog.items]
        self.titles = [item.title for item in pack.catalog.items]
        priced = any(item.price > 0 for item in pack.catalog.items)
        self._items = [
            f"{item.id} | {data(item.title, 120)} | {item.category}"
            + (f" | {item.price:.2f}" if priced else "")
            + f" | rated {1 + 4 * item.quality:.1f} of 5"
            for item in pack.catalog.items
        ]
        self._texts = [data(item.text, 300) for item in pack.catalog.items]
        self._screens = [f"{name}: {data(screen.title, 120)}" for name, screen in pack.product.screens.items()]
        self._counters = world.situations.counters[BUILT_IN:]
        self._may = may_choose(world)
        self._situations: dict[tuple[int, bool], _Situation] = {}
        self._problems = [f"{name}: {data(one.summary, 200)}" for name, one in pack.product.problems.items()]
        self._goals = [self._goal(name) for name in pack.product.intents]
        self._names = trait_names(pack), device_names(pack)

    def offer(self, pool: Pool, row: int, situation: int) -> Offer:
        """What may be answered in this row."""
        of = self._situation(situation, bool(pool.events[row] == 0))
        shown: list[int] = pool.shown[row].tolist() if of.takes else []
        items = {self.ids[item]: place for place, item in enumerate(shown) if item >= 0}
        return Offer(of.events, items, self.categories if of.draws else {}, of.takes, of.draws, of.writes)

    def actions(self, pool: Pool, row: int, situation: int) -> str:
        """The legal actions, a line each."""
        return self._situation(situation, bool(pool.events[row] == 0)).lines

    def screen(self, pool: Pool, row: int, situation: int) -> str:
        """What is on the screen. A slate is told where one of its items can be taken."""
        counters: list[int] = pool.counters[row].tolist()
        lines = [self._screens[int(pool.screen[row])]]
        if pool.problem[row] >= 0:
            lines.append(f"Something went wrong: {self._problems[int(pool.problem[row])]}")
        if (focus := int(pool.focus[row])) >= 0:
            lines.append(f"Open: {self._items[focus]}. {self._texts[focus]}")
        if counters[BAG]:
            inside: list[int] = pool.bag_items[row, : counters[BAG]].tolist()
            total = int(pool.bag_cents[row]) / 100
            worth = f", {total:.2f} together" if total else ""
            lines.append(f"Collected ({counters[BAG]}{worth}): {'; '.join(self._items[item] for item in inside)}")
        if counters[SHOWN] and self._situation(situation, bool(pool.events[row] == 0)).takes:
            page = f", page {counters[PAGE] + 1}" if counters[PAGE] else ""
            lines.append(f"Shown{page} (id | title | category | ...):")
            lines += [self._items[item] for item in pool.shown[row].tolist() if item >= 0]
        held = [name for name, value in zip(self._counters, counters[BUILT_IN:], strict=True) if value]
        if held:
            lines.append(f"In force: {', '.join(held)}")
        return "\n".join(lines)

    def goal(self, pool: Pool, row: int) -> str:
        """What the user came for."""
        return self._goals[int(pool.intent[row])]

    def mood(self, pool: Pool, row: int) -> str:
        """How much patience is left, and whether the visit has been what it should."""
        left = float(self.population.patience[pool.user[row]]) - int(pool.events[row])
        lines = [f"Patience for about {max(1, round(left))} more steps." if left > 0 else "The patience is used up."]
        if pool.reached[row]:
            lines.append("What the person came for is done.")
        if pool.dissatisfaction[row] > 0:
            lines.append("The person is annoyed by what went wrong.")
        return " ".join(lines)

    def attributes(self, user: int) -> str:
        """What was sampled for one user: traits, tastes, device, habits."""
        people, (traits, devices) = self.population, self._names
        values = zip(traits, people.traits[user].tolist(), strict=True)
        measured = ", ".join(f"{name} {value:.2f}" for name, value in values)
        shares = people.tastes[user]
        best = np.argsort(-shares, kind="stable")[:5].tolist()
        names = self.category_names
        likes = ", ".join(f"{names[number]} {shares[number]:.0%}" for number in best)
        week = float(people.sessions_per_week[user])
        return (
            f"Traits from 0 (low) to 1 (high): {measured}.\nTastes: {likes}.\nDevice: {devices[people.device[user]]}.\n"
            f"Patience: about {people.patience[user]:.0f} steps in a visit. Comes {week:.1f} times a week."
        )

    def persona(self, user: int) -> str:
        """The story and voice of the user's persona: they decorate, the attributes decide."""
        one = self.world.pack.personas[int(self.population.persona[user])]
        return f"{data(one.title, 200)}. {data(one.story, 1500)}\nVoice: {data(one.voice, 600)}"

    def subject_of(self, pool: Pool, row: int) -> str:
        """What the latest event was about: the title of its item, or the category that it drew; empty for neither."""
        last, focus = int(pool.last[row]), int(pool.focus[row])
        if last >= len(self.events):
            return ""
        if self.world.item[last] != NO_ITEM:
            return self.titles[focus] if focus >= 0 else ""
        return self.category_names[int(pool.category[row])] if self.world.category[last] == DRAW else ""

    def _goal(self, name: str) -> str:
        intent = self.product.intents[name]
        done = f" Done once this happens: {intent.goal}." if intent.goal else " There is nothing that must be done."
        return f"{name}: {data(intent.summary, 300)}.{done}"

    def _situation(self, situation: int, first: bool) -> _Situation:
        found = self._situations.get((situation, first))
        if found is None:
            found = self._situations[situation, first] = self._describe(situation, first)
        return found

    def _describe(self, situation: int, first: bool) -> _Situation:
        world, specs = self.world, self.product.events
        legal = np.flatnonzero(self._may[situation]).tolist()
        events = {self.events[number] if number < len(self.events) else LEAVE: number for number in legal}
        if first:
            events.pop(LEAVE, None)
        acts = {name: number for name, number in events.items() if name != LEAVE}
        takes = frozenset(name for name, number in acts.items() if world.item[number] == ITEM_OF_SLATE)
        draws = frozenset(name for name, number in acts.items() if world.category[number] == DRAW)
        writes = frozenset(name for name in acts if any(map(wants_words, specs[name].properties.values())))
        lines = []
        for name in events:
            wants = [what for what, who in (("item", takes), ("category", draws), ("words", writes)) if name in who]
            summary = "End the visit here" if name == LEAVE else data(specs[name].summary or name, 200)
            lines.append(f"- {name}: {summary}" + (f" (give: {', '.join(wants)})" if wants else ""))
        return _Situation(events, takes, draws, writes, "\n".join(lines))


def wants_words(spec: PropertySpec) -> bool:
    """Whether a property holds what the user writes."""
    return (spec.source or "").startswith("phrase.") and spec.writer == "user"
