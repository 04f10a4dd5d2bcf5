"""Checks of a whole pack: names that must exist elsewhere, shares that must add up, screens that must be left.

Each check is a small generator of faults; `check_pack` runs them all, so a user sees everything at once. The dead-end
checks walk the reachable situations (see `situations`) and play nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from personas.catalog import Catalog
from personas.errors import Fault
from personas.persona import Persona
from personas.product import BUILT_IN_COUNTERS, Product
from personas.situations import MAX_SITUATIONS, Situations
from personas.source import Lines, Path_, dotted, nearest

#: What a phrase may leave open: both are filled in from the item that it is about.
PLACEHOLDERS = ("{category}", "{title}")
#: How likely one attempt may meet any problem at all: the simulator never plants more (see its `problems`).
MOST_TROUBLE = 0.5


def check_pack(
    product: Product, personas: Sequence[Persona], catalog: Catalog, sources: dict[str, Lines]
) -> tuple[Fault, ...]:
    """All faults of a pack whose files are each valid by themselves."""
    lines = sources["product"]
    faults = list(_product_names(product, lines))
    if not faults:
        faults.extend(_ways_out(product, lines))
    faults.extend(_items(product, catalog, lines))
    faults.extend(_personas(product, personas, catalog, sources))
    return tuple(faults)


def _fault(source: Lines, where: Path_, found: str, expected: str) -> Fault:
    return Fault(source.file, dotted(where), found, expected, nearest(source.lines, where))


def _unknown(source: Lines, where: Path_, names: Iterable[str], known: Iterable[str], what: str) -> Iterator[Fault]:
    allowed = sorted(known)
    for name in names:
        if name not in allowed:
            yield _fault(source, where, repr(name), f"{what}, one of: {', '.join(allowed) or 'none is declared'}")


def _product_names(product: Product, source: Lines) -> Iterator[Fault]:
    """Every name in product.yaml that must be declared in product.yaml."""
    events, screens = product.events, product.screens
    counters = (*BUILT_IN_COUNTERS, *product.counters)
    yield from _unknown(source, ("start",), [product.start], screens, "a screen")
    for name in product.counters:
        if name in BUILT_IN_COUNTERS:
            yield _fault(source, ("counters", name), repr(name), "a name that is not built in")
    for name, event in events.items():
        at: Path_ = ("events", name)
        if name == "leave" or name.startswith("dayone"):
            yield _fault(source, at, repr(name), "a name that Dayone does not use itself")
        yield from _unknown(source, (*at, "on"), event.on, screens, "a screen")
        yield from _unknown(source, (*at, "to"), [event.to] if event.to else [], screens, "a screen")
        yield from _unknown(source, (*at, "requires"), event.requires, counters, "a counter")
        yield from _unknown(source, (*at, "effects"), event.effects, product.counters, "a declared counter")
        yield from _unknown(source, (*at, "clear"), event.clear, ("focus", *product.counters), "a counter")
        yield from _unknown(source, (*at, "slate"), [event.slate] if event.slate else [], product.slates, "a slate")
        yield from _unknown(source, (*at, "after"), event.after, events, "an event")
        if event.page == "next" and event.slate is None:
            yield _fault(source, (*at, "page"), "next", "a slate beside it")
        if event.bag in ("add",) and event.item is None:
            yield _fault(source, (*at, "bag"), event.bag, "an item to put in")
        for field, spec in event.properties.items():
            if (spec.source or "").startswith("phrase."):
                phrase = str(spec.source).removeprefix("phrase.")
                yield from _unknown(source, (*at, "properties", field), [phrase], product.phrases, "phrases")
            needs_item = (spec.source or "").startswith("item.") or spec.source == "position"
            if needs_item and event.item is None:
                yield _fault(source, (*at, "properties", field), f"source {spec.source}", "an event with an item")
            if spec.source == "position" and event.item != "slate":
                yield _fault(source, (*at, "properties", field), "source position", "an event with item: slate")
            if (spec.source or "").startswith("slate.") and event.slate is None:
                yield _fault(source, (*at, "properties", field), f"source {spec.source}", "an event with a slate")
    for name, intent in product.intents.items():
        yield from _unknown(source, ("intents", name, "goal"), [intent.goal] if intent.goal else [], events, "an event")
        yield from _unknown(source, ("intents", name, "weights"), intent.weights, events, "an event")
    for name, problem in product.problems.items():
        at = ("problems", name)
        yield from _unknown(source, (*at, "at"), problem.at, events, "an event")
        yield from _unknown(source, (*at, "emits"), [problem.emits] if problem.emits else [], events, "an event")
        yield from _unknown(source, (*at, "reaction"), problem.reaction, (*events, "leave"), "an event, or leave")
        for event_name in problem.at:
            if problem.emits in events and event_name in events:
                missing = set(events[event_name].on) - set(events[problem.emits].on)
                if missing:
                    found = f"{problem.emits} is not legal on {', '.join(sorted(missing))}"
                    yield _fault(source, (*at, "emits"), found, f"legal wherever {event_name} is")
            if problem.empties_slate and event_name in events and events[event_name].slate is None:
                yield _fault(source, (*at, "empties_slate"), f"{event_name} shows no slate", "events with a slate")
    for name, phrases in product.phrases.items():
        for index, phrase in enumerate(phrases):
            unknown = [part for part in re.findall(r"\{[^{}]*\}", phrase) if part not in PLACEHOLDERS]
            if unknown:
                yield _fault(source, ("phrases", name, index), unknown[0], " or ".join(PLACEHOLDERS))
    for name in events:
        total = sum(problem.rate for problem in product.problems.values() if name in problem.at)
        if total > MOST_TROUBLE:
            found = f"problems that strike {name} with {total:g} in all"
            yield _fault(source, ("problems",), found, f"at most {MOST_TROUBLE:g} for one event")
    yield from _unknown(source, ("funnel",), product.funnel, events, "an event")
    conversion = [product.conversion] if product.conversion else []
    yield from _unknown(source, ("conversion",), conversion, events, "an event")
    if product.conversion_value and product.conversion in events:
        known = events[product.conversion].properties
        yield from _unknown(source, ("conversion_value",), [product.conversion_value], known, "a property of it")
        value = known.get(product.conversion_value)
        if value is not None and value.type not in ("number", "integer"):
            yield _fault(source, ("conversion_value",), f"a property of type {value.type}", "a number or an integer")
    by_item = product.item_property
    for name, event in events.items():
        if event.item and by_item and by_item not in event.properties:
            yield _fault(source, ("events", name, "properties"), f"no {by_item}", f"{by_item} (the item_property)")


def _ways_out(product: Product, source: Lines) -> Iterator[Fault]:
    """Unreachable screens and events, screens without a way out, and goals that cannot be reached."""
    situations = Situations(product)
    if situations.count > MAX_SITUATIONS:
        yield _fault(source, ("counters",), f"{situations.count} situations", f"at most {MAX_SITUATIONS}")
        return
    moves = situations.moves
    reached = {situations.screens[situations.split(s)[0]] for s in moves}
    for screen in product.screens:
        if screen not in reached:
            yield _fault(source, ("screens", screen), "a screen that no event leads to", "a way to it")
    possible = {event for moved in moves.values() for event in moved}
    for event in product.events:
        if event not in possible:
            yield _fault(source, ("events", event), "an event that can never happen", "a screen where it is legal")
    for name, intent in product.intents.items():
        if intent.goal and intent.goal not in possible:
            yield _fault(source, ("intents", name, "goal"), f"{intent.goal} can never happen", "a goal within reach")
    stuck = sorted({situations.screens[situations.split(s)[0]] for s in trapped(situations)})
    for screen in stuck:
        own = any(situations.screens[situations.split(s)[0]] == screen and not moves[s] for s in trapped(situations))
        found = "a dead end: nothing is legal here and nobody leaves" if own else "a circle that nobody can leave"
        yield _fault(source, ("screens", screen), found, "leave above 0, or an event that leads on")


def trapped(situations: Situations) -> set[int]:
    """The reachable situations from which a session can never end (in the over-approximation of `moves`)."""
    product, moves = situations.product, situations.moves
    free = {s for s in moves if product.screens[situations.screens[situations.split(s)[0]]].leave > 0}
    before: dict[int, set[int]] = {s: set() for s in moves}
    for situation, moved in moves.items():
        for targets in moved.values():
            for target in targets:
                before[target].add(situation)
    pending = list(free)
    while pending:
        for situation in before[pending.pop()]:
            if situation not in free:
                free.add(situation)
                pending.append(situation)
    return set(moves) - free


def _items(product: Product, catalog: Catalog, source: Lines) -> Iterator[Fault]:
    """A slate of one category must never be empty by itself: every category has something from the first day on."""
    by_category = [name for name, slate in product.slates.items() if slate.ranking in ("category", "related")]
    there = {item.category for item in catalog.items if item.launch_day == 0}
    for category in catalog.categories:
        if by_category and category not in there:
            found = f"no item of {category} on day 0 in {product.catalog}"
            expected = "at least one with launch_day 0 in each category, for this slate to show"
            yield _fault(source, ("slates", by_category[0]), found, expected)


def _personas(
    product: Product, personas: Sequence[Persona], catalog: Catalog, sources: dict[str, Lines]
) -> Iterator[Fault]:
    """What personas say about the product and the catalogue, and shares that add up."""
    needed = {trait for event in product.events.values() for trait in event.traits}
    if product.choice.price_trait:
        needed.add(product.choice.price_trait)
    for persona in personas:
        source = sources[f"persona.{persona.name}"]
        yield from _unknown(source, ("intents",), persona.intents, product.intents, "an intent")
        yield from _unknown(source, ("tastes",), persona.tastes, catalog.categories, "a category")
        if all(persona.tastes.get(category, 1.0) == 0 for category in catalog.categories):
            yield _fault(source, ("tastes",), "no category with a weight above 0", "at least one")
        for trait in sorted(needed - set(persona.traits)):
            yield _fault(source, ("traits",), f"no trait {trait}", "every trait that product.yaml names")
    total = sum(persona.share for persona in personas)
    if abs(total - 1) > 1e-6:
        where = sources[f"persona.{personas[0].name}"]
        shares = ", ".join(f"{persona.name} {persona.share:g}" for persona in personas)
        yield _fault(where, ("share",), f"shares that add up to {total:g} ({shares})", "shares that add up to 1")
