"""What events do to the items on a screen: which one is chosen, what goes into the bag, what is shown next.

The engine decides which event happens; this is what it brings about for the pool, event by event of the product's
declaration (`item`, `bag`, `category`, `slate`). Choice among the items of a slate: taste for the category, times the
item's appeal, times the chance that the position is looked at, times a factor for what was opened lately.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from personas.population import DAY_MS, Population, trait_names
from personas.randomness import U64, fold, uniform
from simulator.behaviour.model import Behaviour
from simulator.columns import Columns
from simulator.pool import Pool
from simulator.properties import drawn_hundredths, property_purposes
from simulator.slates import Rankings, grant, show
from simulator.world import BAG as BAG_COUNT
from simulator.world import (
    BAG_ADD,
    BAG_EMPTY,
    BAG_REMOVE,
    DRAW,
    ITEM_IN_BAG,
    ITEM_OF_CATALOG,
    ITEM_OF_SLATE,
    OF_ITEM,
    PAGE,
    SHOWN,
    World,
)

# Purposes of random numbers; the engine has others, 64 to 127 belong to slates, from 256 on to event properties.
ITEM, CATEGORY, SHOW, WISH = 5, 6, 8, 11
SEEN = 6
#: How often an item of the catalogue is drawn until one is found that is launched.
LAUNCHED_TRIES = 4

SLATE_COLUMNS: dict[str, Any] = {
    "items": np.int32, "as_ranked": np.bool_, "slate": np.int16, "listed": np.int32, "day": np.int32,
}  # fmt: skip


def price_level(population: Population, world: World, behaviour: Behaviour) -> npt.NDArray[np.int64]:
    """How much each user minds the price, as a row of `behaviour.appeal`."""
    levels = len(behaviour.appeal)
    trait = world.pack.product.choice.price_trait
    if trait is None:
        return np.zeros(len(population), dtype=np.int64)
    value = population.traits[:, trait_names(world.pack).index(trait)]
    return np.minimum((value * levels).astype(np.int64), levels - 1)


class Effects:
    """The effects of events for a population. `slates` and `bags` collect what events refer to."""

    def __init__(self, population: Population, world: World, behaviour: Behaviour, rankings: Rankings) -> None:
        self.population, self.world, self.behaviour, self.rankings = population, world, behaviour, rankings
        self.seen = np.full((len(population), SEEN), -1, dtype=np.int32)
        self._tastes = (population.tastes**behaviour.taste).astype(np.float32)
        self._taste_shares = np.cumsum(population.tastes, axis=1).astype(np.float32)
        self._needs_bag = np.array(
            [any(p.source == "bag.items" for p in e.properties.values()) for e in world.pack.product.events.values()]
        )
        #: How much each user minds the price, as a row of `behaviour.appeal`.
        self.appeal_level = price_level(population, world, behaviour)
        #: The catalogue by category; sums of appeal [level, place], and those at the end of each category.
        self._by_category = np.argsort(world.item_category, kind="stable")
        self._catalog = np.cumsum(behaviour.appeal[:, self._by_category].astype(np.float64), axis=1)
        counts = np.bincount(world.item_category)
        self._of_category = self._catalog[:, np.cumsum(counts) - 1]
        early = np.lexsort((world.launch_day, world.item_category))
        self._launched_first = early[np.cumsum(counts) - counts]
        #: The chance that each position of a slate is looked at, to which choices are proportional.
        self._looked_at = rankings.examination * behaviour.places
        widest = rankings.examination.shape[1]
        self.slates = Columns(SLATE_COLUMNS, {"items": widest, "as_ranked": widest})
        self.bags = Columns({"items": np.int32}, {"items": world.pack.product.bag_size})

    def worth(self, key: U64, item: npt.NDArray[np.int32], bag_cents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """What a conversion at each event would be worth, in hundredths: the product's `conversion_value`."""
        product = self.world.pack.product
        if product.conversion is None or product.conversion_value is None:
            return np.zeros(len(key), dtype=np.int64)
        spec = product.events[product.conversion].properties[product.conversion_value]
        if spec.amount is not None:
            purpose = property_purposes(product)[product.conversion, product.conversion_value]
            return drawn_hundredths(spec, fold(key, purpose))
        if spec.source == "item.price":
            return np.where(item >= 0, self.world.price_cents[np.maximum(item, 0)], 0)
        if spec.source == "bag.value":
            return bag_cents
        return np.full(len(key), round(float(spec.constant or 0) * 100), dtype=np.int64)

    def anything(self, user: npt.NDArray[np.int64], day: npt.NDArray[np.int64], bits: U64) -> npt.NDArray[np.int32]:
        """An item of the catalogue for each user: a category by taste, in it an item that is launched, by appeal."""
        category = self.draw_category(user, fold(bits, 0))
        level, first = self.appeal_level[user], self._launched_first[category]
        item = np.full(len(user), -1, dtype=np.int32)
        for attempt in range(1, LAUNCHED_TRIES + 1):
            rows = np.flatnonzero(item < 0)
            low = np.where(category[rows] > 0, self._of_category[level[rows], category[rows] - 1], 0.0)
            high = self._of_category[level[rows], category[rows]]
            point = low + uniform(fold(bits[rows], attempt)) * (high - low)
            place = np.empty(len(rows), dtype=np.int64)
            for number in np.unique(level[rows]).tolist():
                mine = level[rows] == number
                place[mine] = np.searchsorted(self._catalog[number], point[mine], side="right")
            found = self._by_category[np.minimum(place, len(self._by_category) - 1)]
            there = self.world.launch_day[found] <= day[rows]
            item[rows[there]] = found[there]
        return np.where(item < 0, first, item).astype(np.int32)

    def draw_category(self, user: npt.NDArray[np.int64], bits: U64) -> npt.NDArray[np.int64]:
        shares = self._taste_shares[user]
        place = (shares < uniform(bits).astype(np.float32)[:, None]).sum(axis=1)
        return np.asarray(np.minimum(place, shares.shape[1] - 1))

    def choose_item(
        self, pool: Pool, key: U64, event: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.int32]:
        """The item that each event is about (-1: none); sets `pool.position` (from 1; 0: not from a slate). `wanted`
        places on the slate (from 0) are taken, -1 is drawn."""
        mode = self.world.item[event]
        item = np.where(mode == 2, pool.focus, -1).astype(np.int32)
        pool.position[:] = 0
        of_bag = np.flatnonzero(mode == ITEM_IN_BAG)
        if len(of_bag):
            item[of_bag] = pool.bag_items[of_bag, pool.counters[of_bag, BAG_COUNT] - 1]
        rows = np.flatnonzero(mode == ITEM_OF_SLATE)
        if len(rows):
            user, shown = pool.user[rows], pool.shown.take(rows, axis=0)
            there = np.maximum(shown, 0)
            # `take` with numbers into the flat table is five times as fast as an index in two dimensions
            tastes, appeal = self._tastes, self.behaviour.appeal
            weight = tastes.take((user * tastes.shape[1])[:, None] + self.world.item_category.take(there))
            weight = weight * appeal.take((self.appeal_level[user] * appeal.shape[1])[:, None] + there)
            weight *= self._looked_at.take(pool.slate[rows], axis=0)
            seen = self.seen.take(user, axis=0)
            known = shown == seen[:, :1]
            for column in range(1, SEEN):
                known |= shown == seen[:, column : column + 1]
            weight = np.where(known, weight * self.behaviour.seen, weight)
            cumulative = np.cumsum(np.where(shown >= 0, weight, 0.0), axis=1)
            point = uniform(fold(key[rows], ITEM)) * cumulative[:, -1]
            place = np.minimum((cumulative <= point[:, None]).sum(axis=1), pool.counters[rows, SHOWN] - 1)
            if wanted is not None:
                place = np.where(wanted[rows] >= 0, wanted[rows], place)
            chosen = shown[np.arange(len(rows)), place]
            item[rows], pool.position[rows] = chosen, place + 1
            pool.items[rows] += 1
            self.seen[user] = np.column_stack([chosen, seen[:, :-1]])
        rows = np.flatnonzero(mode == ITEM_OF_CATALOG)
        if len(rows):
            item[rows] = self.anything(pool.user[rows], pool.started[rows] // DAY_MS, fold(key[rows], ITEM))
            pool.items[rows] += 1
        return item

    def fill_bag(self, pool: Pool, event: npt.NDArray[np.int64], item: npt.NDArray[np.int32]) -> None:
        mode = self.world.bag[event]
        rows = np.flatnonzero(mode == BAG_ADD)
        if len(rows):
            pool.bag_items[rows, pool.counters[rows, BAG_COUNT]] = item[rows]
            pool.counters[rows, BAG_COUNT] += 1
            pool.bag_cents[rows] += self.world.price_cents[item[rows]]
        rows = np.flatnonzero(mode == BAG_REMOVE)
        if len(rows):
            pool.counters[rows, BAG_COUNT] -= 1
            pool.bag_cents[rows] -= self.world.price_cents[pool.bag_items[rows, pool.counters[rows, BAG_COUNT]]]

    def keep_bags(self, pool: Pool, event: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        row = np.full(len(pool), -1, dtype=np.int32)
        rows = np.flatnonzero(self._needs_bag[event])
        if len(rows):
            row[rows] = len(self.bags) + np.arange(len(rows))
            self.bags.append(len(rows), items=pool.bag_items[rows])
        return row

    def empty_bag(self, pool: Pool, event: npt.NDArray[np.int64]) -> None:
        rows = np.flatnonzero(self.world.bag[event] == BAG_EMPTY)
        if len(rows):
            pool.counters[rows, BAG_COUNT] = 0
            pool.bag_cents[rows] = 0

    def set_category(
        self, pool: Pool, key: U64, event: npt.NDArray[np.int64], item: npt.NDArray[np.int32],
        wanted: npt.NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        """The category after each event. Of events that draw one, the `wanted` are taken, -1 is drawn."""
        mode = self.world.category[event]
        rows = np.flatnonzero(mode == DRAW)
        if len(rows):
            drawn = self.draw_category(pool.user[rows], fold(key[rows], CATEGORY))
            pool.category[rows] = drawn if wanted is None else np.where(wanted[rows] >= 0, wanted[rows], drawn)
        rows = np.flatnonzero((mode == OF_ITEM) & (item >= 0))
        if len(rows):
            pool.category[rows] = self.world.item_category[item[rows]]

    def show_slates(
        self, pool: Pool, key: U64, event: npt.NDArray[np.int64], problem: npt.NDArray[np.int64],
        wishes: npt.NDArray[np.int32] | None = None,
    ) -> npt.NDArray[np.int32]:  # fmt: skip
        """Show the slates of the events that have one; the rows in which they are kept. `wishes` [slates, widest] are
        items that each has to show whatever its ranking says (-1: none)."""
        row = np.full(len(pool), -1, dtype=np.int32)
        rows = np.flatnonzero(self.world.slate[event] >= 0)
        if not len(rows):
            return row
        slate = self.world.slate[event[rows]]
        page = np.where(self.world.next_page[event[rows]], pool.counters[rows, PAGE] + 1, 0)
        listed = self.rankings.list_of(slate, pool.category[rows], self.population.persona[pool.user[rows]])
        day = pool.started[rows] // DAY_MS
        items, as_ranked = show(self.rankings, slate, listed, page, day, fold(key[rows], SHOW))
        if wishes is not None:
            looked_at = self.rankings.examination[slate]
            items = grant(items, wishes, self.rankings.size[slate], looked_at, fold(key[rows], WISH))
        trouble = problem[rows]
        emptied = np.flatnonzero(trouble >= 0)
        if len(emptied):
            items[emptied[self.world.problem_empties[trouble[emptied]]]] = -1
        pool.shown[rows], pool.slate[rows] = items, slate
        pool.counters[rows, PAGE] = page
        pool.counters[rows, SHOWN] = (items >= 0).sum(axis=1)
        row[rows] = len(self.slates) + np.arange(len(rows))
        self.slates.append(len(rows), items=items, as_ranked=as_ranked, slate=slate, listed=listed, day=day)
        return row
