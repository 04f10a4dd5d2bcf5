"""What somebody asked for of a core, as texts and paths, made into a core and a mixing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from personas.core.mapping import CoreMap, load_map
from personas.errors import TrainingError
from sinks.training.core.pseudonyms import load_key
from sinks.training.core.taking import Core
from sinks.training.mixing import Mixing, mixing_of

if TYPE_CHECKING:
    from sinks.place import Place

Judge = Literal["core", "all", "synthetic"]


@dataclass(frozen=True)
class Wishes:
    """The options of `dayone build` that are about a core; None where one was not given."""

    core: str | None = None
    map: Path | None = None
    key: Path | None = None
    session_gap: float | None = None
    mix: str | None = None
    ratio: float | None = None
    prior_users: float | None = None
    thin: int | None = None
    judge: str | None = None
    knows_it_collapses: bool = False


def granted(wishes: Wishes, place: Place) -> tuple[Core | None, Mixing | None, str]:
    """The core, how it is mixed, and who judges. TrainingError where the wishes do not go together."""
    given = {
        "map": wishes.map, "session-gap": wishes.session_gap, "mix": wishes.mix, "ratio": wishes.ratio,
        "prior-users": wishes.prior_users, "thin": wishes.thin, "core-key": wishes.key,
    }  # fmt: skip
    if wishes.core is None:
        if odd := [name for name, value in given.items() if value is not None]:
            raise TrainingError(f"--{odd[0]} says how real rows are mixed in, but there are none.", hint="Add --core.")
        return None, None, wishes.judge or "all"
    fields = {"strategy": wishes.mix, "ratio": wishes.ratio, "prior_users": wishes.prior_users, "thin": wishes.thin}
    mixing = mixing_of(
        knows_it_collapses=wishes.knows_it_collapses,
        **{name: value for name, value in fields.items() if value is not None},
    )
    return core_of(wishes, place), mixing, wishes.judge or "core"


def core_of(wishes: Wishes, place: Place) -> Core | None:
    """The core that is asked for, with its map and key; None where none is."""
    if wishes.core is None:
        return None
    mapping = load_map(wishes.map) if wishes.map else CoreMap()
    if wishes.session_gap is not None:
        if not 0 < wishes.session_gap <= 1440:
            raise TrainingError(
                f"--session-gap: found {wishes.session_gap:g}, expected minutes, up to 1440.", hint="30 is usual."
            )
        mapping = mapping.model_copy(update={"session_gap_minutes": wishes.session_gap})
    return Core(wishes.core, load_key(wishes.key or key_beside(place)), mapping)


def key_beside(place: Place) -> Path:
    """Where the key for pseudonyms is unless a file is named: beside the store, or in the current folder where the
    store is a database elsewhere."""
    return Path(f"{place.target}.core-key") if place.kind != "postgres" else Path("dayone.core-key")
