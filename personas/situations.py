"""Every situation that a session can be in, as a number: the screen together with what matters of the counters.

Of a counter only the thresholds that some event requires matter (is the bag empty or not?), so each counter is cut
into a few *levels*, and (screen, level, level, ...) is one small mixed-radix number. What is legal is then a table
[situation, event], computed once: a legality check costs nothing while events are played, and dead ends can be found
without playing any. The reachable situations are found by interval arithmetic on the levels, which may include a
situation too many, never one too few.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product as cartesian

from personas.product import BUILT_IN_COUNTERS, NO_LIMIT, EventSpec, Product

MAX_SITUATIONS = 4096


class Situations:
    """The situations of a product. `counters` orders the built-in counters first, then the declared ones;
    `thresholds[c]` are the values from which the next level of counter c begins."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.screens = tuple(product.screens)
        self.events = tuple(product.events)
        self.counters = (*BUILT_IN_COUNTERS, *product.counters)
        self.bounds = {name: product.bounds(name) for name in product.events}
        self.thresholds: tuple[tuple[int, ...], ...] = tuple(self._cuts(name) for name in self.counters)
        self.radix = tuple(len(cuts) + 1 for cuts in self.thresholds)
        self.count = len(self.screens)
        for size in self.radix:
            self.count *= size

    def _cuts(self, counter: str) -> tuple[int, ...]:
        cuts: set[int] = set()
        for bounds in self.bounds.values():
            if counter in bounds:
                low, high = bounds[counter]
                cuts.update(value for value in (low, high + 1) if 0 < value <= self.limit(counter))
        return tuple(sorted(cuts))

    def limit(self, counter: str) -> int:
        """The highest value of a counter: adding to it beyond this has no effect."""
        built_in = {"focus": 1, "bag": self.product.bag_size}
        if counter == "shown":
            return max((slate.size for slate in self.product.slates.values()), default=0)
        if counter == "page":
            return max((slate.pages for slate in self.product.slates.values()), default=1) - 1
        return built_in.get(counter, self.product.counters.get(counter, NO_LIMIT))

    def number(self, screen: int, levels: tuple[int, ...]) -> int:
        value = screen
        for level, size in zip(levels, self.radix, strict=True):
            value = value * size + level
        return value

    def split(self, situation: int) -> tuple[int, tuple[int, ...]]:
        """The screen and the levels of a situation."""
        levels: list[int] = []
        for size in reversed(self.radix):
            situation, level = divmod(situation, size)
            levels.append(level)
        return situation, tuple(reversed(levels))

    def values(self, counter: int, level: int) -> tuple[int, int]:
        """The least and the greatest value of a counter within a level."""
        cuts = (0, *self.thresholds[counter])
        top = self.limit(self.counters[counter])
        return cuts[level], (cuts[level + 1] - 1 if level + 1 < len(cuts) else top)

    def legal(self, situation: int, event: str) -> bool:
        """Whether the event may happen in the situation."""
        screen, levels = self.split(situation)
        if self.screens[screen] not in self.product.events[event].on:
            return False
        for index, counter in enumerate(self.counters):
            if counter in self.bounds[event]:
                low, high = self.bounds[event][counter]
                least, greatest = self.values(index, levels[index])
                if least < low or greatest > min(high, self.limit(counter)):
                    return False
        return True

    def after(self, situation: int, event: str, *, failed: bool = False) -> Iterator[int]:
        """The situations that the event may lead to. `failed`: the slate that it shows is empty."""
        spec = self.product.events[event]
        screen, levels = self.split(situation)
        target = self.screens.index(spec.to) if spec.to else screen
        spans = [
            self._levels(index, *self._effect(spec, counter, *self.values(index, levels[index]), failed=failed))
            for index, counter in enumerate(self.counters)
        ]
        for combination in cartesian(*spans):
            yield self.number(target, combination)

    def _effect(self, spec: EventSpec, counter: str, low: int, high: int, *, failed: bool) -> tuple[int, int]:
        limit = self.limit(counter)
        if counter == "shown" and spec.slate:
            return (0, 0) if failed else (1, self.product.slates[spec.slate].size)
        if counter == "page" and spec.slate:
            return (low + 1, high + 1) if spec.page == "next" else (0, 0)
        if counter == "focus":
            return (1, 1) if spec.item else (0, 0) if counter in spec.clear else (low, high)
        if counter == "bag":
            step = {"add": 1, "remove": -1}.get(spec.bag or "", 0)
            return (0, 0) if spec.bag == "empty" else (min(low + step, limit), min(high + step, limit))
        if counter in spec.clear:
            return 0, 0
        step = spec.effects.get(counter, 0)
        return max(0, min(low + step, limit)), max(0, min(high + step, limit))

    def _levels(self, counter: int, low: int, high: int) -> range:
        cuts = self.thresholds[counter]
        return range(sum(cut <= low for cut in cuts), sum(cut <= max(low, high) for cut in cuts) + 1)

    @cached_property
    def start(self) -> int:
        """The situation in which every session begins."""
        return self.number(self.screens.index(self.product.start), (0,) * len(self.counters))

    @cached_property
    def moves(self) -> dict[int, dict[str, tuple[int, ...]]]:
        """For every reachable situation, the events that may happen there (by will or through a problem) and
        the situations each may lead to."""
        problems = self.product.problems.values()
        caused = {at: [(p.emits or at, p.empties_slate) for p in problems if at in p.at] for at in self.events}
        found: dict[int, dict[str, tuple[int, ...]]] = {}
        pending = [self.start]
        while pending:
            situation = pending.pop()
            if situation in found:
                continue
            found[situation] = {}
            for name, spec in self.product.events.items():
                if spec.weight <= 0 or not self.legal(situation, name):
                    continue
                for event, failed in ((name, False), *caused[name]):
                    if event == name or self.legal(situation, event):
                        reached = {*found[situation].get(event, ()), *self.after(situation, event, failed=failed)}
                        found[situation][event] = tuple(sorted(reached))
                        pending.extend(reached)
        return found
