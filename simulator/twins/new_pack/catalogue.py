"""The items of a pack that is made of a core: those that enough users touched, and what the core says of each.

An item's further columns (category, price, title) are taken where nearly all of its rows agree and at least k users
have just that value of that item. Popularity becomes quality, on a scale on which the appeal of an item is proportional
to its share. Knows files neither of packs nor of cores.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from personas.catalog import COLUMNS, MAX_ITEMS
from simulator.twins.log import I64, Log
from simulator.twins.new_pack.names import ids_for, names_for

#: Columns of a core that say something of an item, by what they are in a catalogue.
_SAID = {
    "category": ("category", "item_category", "product_category", "genre"),
    "price": ("price", "item_price", "unit_price"), "title": ("title", "name", "item_name", "product_name"),
}  # fmt: skip
_AGREE = 0.9
ONLY_CATEGORY = "all"


@dataclass(frozen=True)
class Inferred:
    """`rows` of the catalogue, `ids` (the core's name of an item to the pack's), `category` of each kept item of the
    log by its code (-1: not kept), and the exponent on quality with which appeal is popularity."""

    rows: list[dict[str, Any]]
    ids: dict[str, str]
    category: dict[int, str]
    exponent: float

    def text(self) -> str:
        """The file."""
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()


def infer_catalogue(log: Log, users: I64, k: int) -> Inferred:
    """The catalogue of a log in which rare items are gone already. `users` [items]: how many users touched each. What
    fewer than `k` users have of an item is not said of it."""
    has = log.item >= 0
    counts = np.bincount(log.item[has], minlength=len(log.words["item"]))
    order = np.argsort(-users, kind="stable")[:MAX_ITEMS]
    order = order[counts[order] > 0]
    if not len(order):
        nothing = {"id": "none", "title": "Nothing in particular", "category": ONLY_CATEGORY, "price": 0,
                   "quality": 0.5, "launch_day": 0, "text": ""}  # fmt: skip
        return Inferred([nothing], {}, {}, 0.0)
    said = {what: _said_of(log, has, names, k) for what, names in _SAID.items()}
    words = log.words["item"]
    ids = ids_for([words[code] for code in order.tolist()])
    labels = {code: str(said["category"].get(code, "")) for code in order.tolist()}
    categories = names_for(sorted({label for label in labels.values() if label}), "c")
    most, least = float(counts[order].max()), float(counts[order].min())
    exponent = min(math.log(most / least), 8.0) if most > least else 0.0
    rows, category = [], {}
    for code in sorted(order.tolist(), key=lambda code: ids[words[code]]):
        category[code] = categories.get(labels[code], ONLY_CATEGORY)
        share = math.log(counts[code] / least) / math.log(most / least) if exponent else 0.5
        price = said["price"].get(code, 0)
        rows.append({
            "id": ids[words[code]], "title": str(said["title"].get(code) or ids[words[code]])[:200],
            "category": category[code], "price": round(_price(price), 2), "quality": round(share, 4), "launch_day": 0,
            "text": "",
        })  # fmt: skip
    return Inferred(rows, ids, category, round(exponent, 4))


def _price(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return min(max(number, 0.0), 1e7) if math.isfinite(number) else 0.0


def _said_of(log: Log, has: Any, names: tuple[str, ...], k: int) -> dict[int, Any]:
    """What a column of the core says of each item: the one value that nearly all rows of the item have, empty ones
    counted, and at least k users; of no item where the column is not about items."""
    name = next((name for name in names if name in log.more), None)
    if name is None:
        return {}
    user = log.user[log.session[has]]
    table = pa.table({"item": log.item[has], "user": user, "value": log.more[name].filter(pa.array(has))})
    there = table.filter(pa.compute.is_valid(table["value"]))
    counted = there.group_by(["item", "value"]).aggregate([([], "count_all"), ("user", "count_distinct")])
    rows = np.bincount(table["item"].to_numpy(), minlength=len(log.words["item"]))
    found = {
        row["item"]: row["value"]
        for row in counted.to_pylist()
        if row["count_all"] >= _AGREE * rows[row["item"]] and row["user_count_distinct"] >= k
    }
    return found if len(found) >= _AGREE * len(there["item"].unique()) else {}
