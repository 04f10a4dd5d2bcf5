"""Event properties: for each event type of a product, the columns of JSON fragments that fill its `data`.

What a property's `source` means is defined here, one small function each. Draws (`values`, `amount`, phrases) are
hashes of (user, session, sequence, property) like everything random.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from personas.pack import Pack
from personas.population import device_names
from personas.product import Product, PropertySpec
from personas.randomness import U64, cumulative_shares, fold, interpolate, pick, uniform
from simulator import text
from simulator.behaviour.prior import amount_quantiles

FIRST_PURPOSE = 256
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Rows:
    """The events of one type: their columns, random keys, and what they refer to: `session` is the row of each in the
    table `session_ids`, `device` the number of the user's device, then the rows of slates and bags; `words` has what
    users wrote themselves, by user, session and sequence."""

    columns: Columns
    key: U64
    session: npt.NDArray[np.int64]
    session_ids: pa.Array
    device: npt.NDArray[np.int64]
    slate_items: npt.NDArray[np.int32]
    bags: npt.NDArray[np.int32]
    words: Mapping[tuple[int, int, int], str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key)


def property_purposes(product: Product) -> dict[tuple[str, str], int]:
    """The purpose of the random numbers of each (event, property)."""
    names = sorted((event, name) for event, spec in product.events.items() for name in spec.properties)
    return {pair: FIRST_PURPOSE + number for number, pair in enumerate(names)}


def drawn_hundredths(spec: PropertySpec, key: U64) -> npt.NDArray[np.int64]:
    """The values of a property with an `amount`, in hundredths; `key` is the event's, folded with the purpose."""
    assert spec.amount is not None
    amounts = interpolate(amount_quantiles(spec.amount), uniform(key))
    digits = 1 if spec.type == "integer" else 100
    return np.asarray(np.rint(amounts * digits).astype(np.int64) * (100 // digits))


def chosen_phrase(key: U64, phrases: int) -> npt.NDArray[np.int64]:
    """Which of so many phrases each event holds; `key` is the event's, folded with the purpose."""
    return np.minimum((uniform(key) * phrases).astype(np.int64), phrases - 1)


class Properties:
    """The JSON of all properties of all events of a pack."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        items, categories = pack.catalog.items, pack.catalog.categories
        self.item_tables = {
            "item.id": text.quoted([item.id for item in items]),
            "item.title": text.quoted([item.title for item in items]),
            "item.category": text.quoted([item.category for item in items]),
            "item.price": text.numbers([item.price for item in items]),
            "item.quality": text.numbers([item.quality for item in items]),
        }
        self.category_names = text.quoted(categories)
        self.devices = text.quoted(device_names(pack))
        self.slate_names = {name: json.dumps(name) for name in pack.product.slates}
        self.titles = text.bare([item.title for item in items])
        self.item_category = np.array([categories.index(item.category) for item in items])
        self.plain_categories = text.bare([name.replace("_", " ") for name in categories])
        oldest = np.array([item.launch_day for item in items]) == 0
        self.members = [
            np.flatnonzero((self.item_category == c) & (oldest | ~oldest[self.item_category == c].any()))
            for c in range(len(categories))
        ]
        self.sources: dict[str, Callable[[Rows], text.Piece]] = {
            "position": lambda rows: text.integers(rows.columns["position"]),
            "category": lambda rows: text.look_up(self.category_names, rows.columns["category"]),
            "slate.items": lambda rows: self._list(rows.slate_items),
            "slate.page": lambda rows: text.integers(rows.columns["page"] + 1),
            "slate.size": lambda rows: text.integers(rows.columns["shown"]),
            "bag.count": lambda rows: text.integers(rows.columns["bag_count"]),
            "bag.value": lambda rows: text.fixed(rows.columns["bag_cents"], 2),
            "bag.items": lambda rows: self._list(
                np.where(np.arange(rows.bags.shape[1]) < rows.columns["bag_count"][:, None], rows.bags, -1)
            ),
            "session.order": self._order_number,
            "session.number": lambda rows: text.integers(rows.columns["session"]),
            "user.device": lambda rows: text.look_up(self.devices, rows.device),
            "load_seconds": lambda rows: text.fixed(rows.columns["load_ms"], 3),
        }
        self.purpose = property_purposes(pack.product)
        self._tables: dict[str, list[tuple[str, pa.Array | str]]] = {}

    def fragments(self, event: str, rows: Rows) -> list[text.Piece]:
        """What stands between the braces of `data` for events of one type."""
        pieces: list[text.Piece] = []
        for before, named in self._groups(event):
            if before:
                pieces.append(before)
            if isinstance(named, pa.Array):
                pieces.append(text.look_up(named, rows.columns["item"]))
            else:
                pieces.append(self._value(event, named, self.pack.product.events[event].properties[named], rows))
        return pieces

    def _groups(self, event: str) -> list[tuple[str, pa.Array | str]]:
        """The properties of events of one type, each with the constant before it. Those of the item that stand side by
        side are one look-up table."""
        if event not in self._tables:
            found: list[tuple[str, pa.Array | str]] = []
            for number, (name, spec) in enumerate(self.pack.product.events[event].properties.items()):
                before, table = f'{"," if number else ""}"{name}":', self.item_tables.get(str(spec.source))
                if table is None or spec.constant is not None or spec.values is not None or spec.amount is not None:
                    found.append((before, name))
                elif found and isinstance(found[-1][1], pa.Array):
                    found[-1] = "", text.join(found[-1][1], before, table)
                else:
                    found.append(("", text.join(before, table)))
            self._tables[event] = found
        return self._tables[event]

    def _value(self, event: str, name: str, spec: PropertySpec, rows: Rows) -> text.Piece:
        key = fold(rows.key, self.purpose[event, name]) if spec.source is None or "phrase." in spec.source else rows.key
        if spec.constant is not None:
            return json.dumps(spec.constant, ensure_ascii=False)
        if spec.values is not None:
            choices = sorted(spec.values)
            shares = cumulative_shares(np.array([[spec.values[choice] for choice in choices]]))
            drawn = pick(shares, np.zeros(len(rows), dtype=np.int64), uniform(key))
            return text.look_up(text.quoted(choices), drawn)
        if spec.amount is not None:
            hundredths = drawn_hundredths(spec, key)
            return text.integers(hundredths // 100) if spec.type == "integer" else text.fixed(hundredths, 2)
        source = str(spec.source)
        if source.startswith("phrase."):
            phrases = self._phrase(source.removeprefix("phrase."), rows, key)
            return _written(phrases, rows) if rows.words else phrases
        if source == "slate.name":
            return self.slate_names[str(self.pack.product.events[event].slate)]
        return self.sources[source](rows)

    def _order_number(self, rows: Rows) -> pa.Array:
        session = text.look_up(rows.session_ids, rows.session)
        return text.join('"o-', session, "-", text.integers(rows.columns["sequence"]), '"')

    def _list(self, items: npt.NDArray[np.int32]) -> pa.Array:
        there = items >= 0
        return text.lists([text.look_up(self.item_tables["item.id"], items[there])], there.sum(axis=1))

    def phrase_items(self, item: npt.NDArray[Any], category: npt.NDArray[Any], key: U64) -> npt.NDArray[np.int64]:
        """The items whose {title} and {category} phrases are filled with: those that the events are about, or (-1)
        random ones of the session's category."""
        within = category.astype(np.int64)
        chance = uniform(fold(key, 1))
        sizes = np.array([len(members) for members in self.members])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        flat = np.concatenate(self.members)
        return np.where(item >= 0, item, flat[starts[within] + (chance * sizes[within]).astype(np.int64)])

    def _phrase(self, name: str, rows: Rows, key: U64) -> pa.Array:
        """One of the product's phrases each, as JSON."""
        phrases = self.pack.product.phrases[name]
        which = chosen_phrase(key, len(phrases))
        item = self.phrase_items(rows.columns["item"], rows.columns["category"], key)
        made, order = [], []
        for number, phrase in enumerate(phrases):
            chosen = np.flatnonzero(which == number)
            if len(chosen):
                pieces: list[text.Piece] = ['"']
                for part in re.split(r"(\{title\}|\{category\})", phrase):
                    if part == "{title}":
                        pieces.append(text.look_up(self.titles, item[chosen]))
                    elif part == "{category}":
                        pieces.append(text.look_up(self.plain_categories, self.item_category[item[chosen]]))
                    elif part:
                        pieces.append(json.dumps(part, ensure_ascii=False)[1:-1])
                made.append(text.join(*pieces, '"', count=len(chosen)))
                order.append(chosen)
        back = np.empty(len(key), dtype=np.int64)
        back[np.concatenate(order)] = np.arange(len(key))
        return text.look_up(pa.concat_arrays(made), back)


def _written(phrases: pa.Array, rows: Rows) -> pa.Array:
    """The phrases, and in their place what the users wrote themselves where they did."""
    names = zip(*(rows.columns[name].tolist() for name in ("user", "session", "sequence")), strict=True)
    own = [rows.words.get(name) for name in names]
    there = pa.array([words is not None for words in own])
    written = text.quoted([words or "" for words in own])
    return text.fragments(pc.if_else(there, written.cast(pa.string()), phrases.cast(pa.string())))
