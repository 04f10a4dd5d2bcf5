"""`--map core.yaml`: how the columns, events, times and items of real data are called, in the product's words.

Plain data that a user writes. Knows files of YAML, no database. Two ways were weighed: SQL in the file (anything can
be said; nothing can be checked before it runs, and a set would follow from text that nobody reads), or a few named
fields. The fields won; what needs more is prepared with `dayone sql` or DuckDB first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from personas.errors import CoreError, PackError
from personas.source import parse

#: What a core's columns are for. The first three must be there; without sessions they are derived, without items and
#: devices there are none.
NEEDED = ("user_id", "time", "event")
#: Names that are understood without a map.
USUAL = {
    "user_id": ("user_id",), "session_id": ("session_id",), "time": ("time", "ts"), "event": ("event", "type"),
    "item_id": ("item_id",), "device": ("device",), "order": ("sequence", "step"), "properties": ("properties",),
}  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Columns(_Part):
    """Which column is what; one that is left out has its usual name, if it is there. `order` breaks ties of time."""

    user_id: str | None = None
    session_id: str | None = None
    time: str | None = None
    event: str | None = None
    item_id: str | None = None
    device: str | None = None
    order: str | None = None
    properties: str | None = None


class Time(_Part):
    """How times are written: `format` as in strptime, or what a number counts since 1970; `zone` (IANA) is that of
    times that carry none."""

    format: str | None = None
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError("an IANA time zone, such as Europe/Berlin") from None
        return zone


class Items(_Part):
    """`ids` renames items; what to do with one that the catalogue does not have: refuse the core, keep the id, or
    leave it empty."""

    ids: dict[str, str] = Field(default_factory=dict)
    unknown: Literal["refuse", "keep", "empty"] = "refuse"


class CoreMap(_Part):
    """All that a map may say. `events` gives each event of the core its name in the product, or null to leave it out.
    `properties` gives properties their columns. `personal` names columns whose values must turn up in no text."""

    columns: Columns = Columns()
    time: Time = Time()
    events: dict[str, str | None] = Field(default_factory=dict)
    items: Items = Items()
    properties: dict[str, str] = Field(default_factory=dict)
    personal: tuple[str, ...] = ()
    session_gap_minutes: Annotated[float, Field(gt=0, le=1440)] = 30.0
    conversion: str | None = None
    incomplete: Literal["refuse", "drop"] = "refuse"


def load_map(path: Path) -> CoreMap:
    """The map in a file; CoreError lists every fault with its line."""
    try:
        return parse(CoreMap, path)[0]
    except PackError as error:
        raise CoreError(str(error), hint="docs/training-sets.md shows what a map may say.") from None
