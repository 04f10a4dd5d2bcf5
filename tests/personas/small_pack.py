"""A pack of a few lines for tests that break something: change it, load it, compare what is said about it.

Expected lines are looked up by the text that stands on them, so a test does not depend on counting.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from personas.errors import Fault, PackError
from personas.pack import Pack, load_pack

PRODUCT = """\
name: small
title: A small product
item_property: item_id
start: entry
counters: {member: 1}
screens:
  entry: {leave: 0.1}
  list: {leave: 0.5}
  detail: {leave: 0.5}
events:
  list_viewed:
    on: [entry, list, detail]
    to: list
    slate: things
    category: draw
    clear: [focus]
    properties:
      items: {type: strings, source: slate.items}
  list_searched:
    on: [list]
    slate: things
    properties:
      query: {type: string, source: phrase.search}
  item_opened:
    on: [list]
    to: detail
    item: slate
    traits: {curiosity: 0.5}
    after: {list_viewed: 1.5}
    properties:
      item_id: {type: string, source: item.id}
      position: {type: integer, source: position}
  joined:
    on: [detail]
    requires: {member: [0, 0]}
    effects: {member: 1}
    properties:
      price: {type: number, amount: {median: 5}}
  join_failed:
    on: [detail]
    weight: 0
intents:
  join:
    goal: joined
    weights: {joined: 2}
slates:
  things: {ranking: category, size: 3}
problems:
  declined:
    at: [joined]
    rate: 0.1
    emits: join_failed
    reaction: {leave: 2}
  nothing_found:
    at: [list_searched]
    rate: 0.1
    empties_slate: true
phrases:
  search: ["{category}"]
funnel: [item_opened, joined]
conversion: joined
conversion_value: price
"""

PERSONA = """\
name: visitor
share: 1
title: A visitor
story: Comes and goes.
voice: Says little.
traits:
  curiosity: {mean: 0.5, sd: 0.1}
tastes: {red: 2}
intents: {join: 1}
activity:
  weekday: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
  weekend: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
devices: {mobile: 1}
sessions_per_week: {median: 2}
patience: {median: 10}
churn: 0.1
"""

CATALOG = """\
id,title,category,price,quality,launch_day,text
a1,A red thing,red,1.5,0.5,0,It is red.
a2,Another red thing,red,2.5,0.7,3,It is red too.
b1,A blue thing,blue,3,0.9,0,It is blue.
"""

PRODUCT_FILE, PERSONA_FILE, CATALOG_FILE = "product.yaml", "personas/visitor.yaml", "catalog.csv"


class SmallPack:
    """The small pack in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "personas").mkdir(parents=True)
        for name, text in ((PRODUCT_FILE, PRODUCT), (PERSONA_FILE, PERSONA), (CATALOG_FILE, CATALOG)):
            self.write(name, text)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str | bytes) -> None:
        (self.folder / name).write_bytes(text.encode() if isinstance(text, str) else text)

    def change(self, name: str, old: str, new: str) -> None:
        """Replace a text that occurs once."""
        text = self.read(name)
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def load(self) -> Pack:
        return load_pack(self.folder)

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the pack; fails when nothing is."""
        with pytest.raises(PackError) as caught:
            self.load()
        assert caught.value.exit_code == 3
        assert caught.value.faults, "a PackError says what is wrong"
        return caught.value.faults

    def only_fault(self) -> Fault:
        (fault,) = self.faults()
        return fault

    def fault(self, name: str, marker: str, field: str, found: str, expected: str) -> Fault:
        """The fault expected in file `name`, on the only line with `marker` ("": no line)."""
        lines = [number for number, line in enumerate(self.read(name).splitlines(), 1) if marker in line]
        assert not marker or len(lines) == 1, f"{marker!r} is on lines {lines}"
        return Fault(str(self.folder / name), field, found, expected, lines[0] if marker else None)
