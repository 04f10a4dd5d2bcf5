"""The catalogue: the items of a product, from a CSV file with the columns id, title, category, price, quality,
launch_day, text.

`price` is in the product's currency (0 where things have no price), `quality` from 0 to 1, `launch_day` the virtual
day from which the item exists (0: from the start). Knows no product, no persona.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from personas.errors import Fault, PackError
from personas.product import Declared
from personas.source import read_text

COLUMNS = ("id", "title", "category", "price", "quality", "launch_day", "text")
MAX_ITEMS = 30_000
MAX_FAULTS = 20


class Item(Declared):
    """One thing that can be shown."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    category: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
    price: Annotated[float, Field(ge=0, le=1e7)]
    quality: Annotated[float, Field(ge=0, le=1)]
    launch_day: Annotated[int, Field(ge=0, le=36500)] = 0
    text: Annotated[str, Field(max_length=2000)] = ""


class Catalog(Declared):
    """All items, in the order of the file."""

    items: tuple[Item, ...]

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in alphabetical order."""
        return tuple(sorted({item.category for item in self.items}))


def load_catalog(path: Path) -> Catalog:
    """Read and check a catalogue; PackError lists the first 20 faults, each with its line."""
    reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    faults: list[Fault] = []
    items: list[Item] = []
    first_line: dict[str, int] = {}
    try:
        if tuple(reader.fieldnames or ()) != COLUMNS:
            found = ",".join(str(name) for name in reader.fieldnames or ())[:120] or "nothing"
            raise PackError(f"{path.name} is not valid", (Fault(str(path), "", found, ",".join(COLUMNS), 1),))
        for row in reader:
            line = reader.line_num
            try:
                item = Item.model_validate({key: value for key, value in row.items() if key is not None})
            except ValidationError as error:
                for entry in error.errors(include_url=False):
                    field = ".".join(str(part) for part in entry["loc"])
                    missing = entry["input"] is None
                    found = "fewer values than columns" if missing else repr(entry["input"])[:80]
                    expected = f"{len(COLUMNS)} values" if missing else entry["msg"].removeprefix("Input should be ")
                    faults.append(Fault(str(path), field, found, expected, line))
                continue
            if None in row:
                extra = len(COLUMNS) + len(row[None])
                faults.append(Fault(str(path), "", f"{extra} values", f"{len(COLUMNS)} values", line))
            if item.id in first_line:
                expected = f"ids that occur once (first on line {first_line[item.id]})"
                faults.append(Fault(str(path), "id", repr(item.id), expected, line))
            first_line.setdefault(item.id, line)
            items.append(item)
    except csv.Error as error:
        start_of_record = reader.line_num + 1
        faults.append(Fault(str(path), "", str(error), "CSV with quotes closed", start_of_record))
    if not items and not faults:
        faults.append(Fault(str(path), "", "no items", "at least one item", None))
    if len(items) > MAX_ITEMS:
        faults.append(Fault(str(path), "", f"{len(items)} items", f"at most {MAX_ITEMS}", None))
    if items and min(item.launch_day for item in items) > 0:
        faults.append(Fault(str(path), "launch_day", "no item on day 0", "at least one item with launch_day 0", None))
    if len(faults) > MAX_FAULTS:
        faults[MAX_FAULTS:] = [Fault(str(path), "", f"{len(faults) - MAX_FAULTS} more mistakes", "none of them")]
    if faults:
        raise PackError(f"{path.name} is not valid", tuple(faults))
    return Catalog(items=tuple(items))
