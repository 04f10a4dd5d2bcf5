"""What a course has so far, in one file: taught and held-out traces, who was asked, and the bill.

The file is replaced whole after every round, so whenever a course is stopped or killed it goes on from its last round.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.errors import StudentError
from personas.pack import Pack
from simulator.behaviour.arrays import load_arrays, save_arrays
from simulator.behaviour.traces import Traces, no_traces, traces_of

FILE = "course.npz"
_STATE, _USED, _TAUGHT, _HELD = "state", "used", "taught.", "held_out."


@dataclass
class Notebook:
    """`identity` is what must stay the same when a course goes on: pack, seed, teacher, model, prompts. `used` [users]
    marks who was asked; `rounds` are done; `lost` visits taught nothing; `dollars`, `calls`, `tokens` are the bill of
    the rounds, `paid` what was really spent, rounds that were given up included."""

    identity: dict[str, Any]
    taught: Traces
    held_out: Traces
    used: npt.NDArray[np.bool_]
    rounds: int = 0
    lost: int = 0
    calls: int = 0
    dollars: float = 0.0
    paid: float = 0.0
    tokens: Counter[str] = field(default_factory=Counter)

    @property
    def sessions(self) -> int:
        """All visits that were played to the end."""
        return self.taught.sessions + self.held_out.sessions

    def save(self, folder: Path) -> None:
        """Write the file."""
        numbers = ("rounds", "lost", "calls", "dollars", "paid")
        state: dict[str, Any] = {"identity": self.identity, "tokens": dict(sorted(self.tokens.items()))}
        state |= {name: getattr(self, name) for name in numbers}
        text = np.frombuffer(json.dumps(state, sort_keys=True).encode(), dtype=np.uint8)
        taught = {f"{_TAUGHT}{name}": array for name, array in self.taught.arrays().items()}
        held = {f"{_HELD}{name}": array for name, array in self.held_out.arrays().items()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_arrays(folder / FILE, {_STATE: text, _USED: self.used, **taught, **held})
        except OSError as error:
            raise StudentError(f"{folder}: cannot be written ({error.strerror})", hint="Give another --out.") from None


def open_notebook(folder: Path, identity: dict[str, Any], pack: Pack, users: int) -> Notebook:
    """The notebook in a folder, or an empty one. StudentError when it is of another course."""
    if not (folder / FILE).is_file():
        nothing = no_traces(pack)
        return Notebook(identity, nothing, nothing, np.zeros(users, dtype=bool))
    arrays = load_arrays(folder / FILE)
    try:
        state = json.loads(arrays[_STATE].tobytes())
        taught, held_out = (
            traces_of({name.removeprefix(p): array for name, array in arrays.items() if name.startswith(p)})
            for p in (_TAUGHT, _HELD)
        )
        found, tokens = state.pop("identity"), Counter(state.pop("tokens"))
        notebook = Notebook(found, taught, held_out, arrays[_USED], tokens=tokens, **state)
    except (KeyError, TypeError, ValueError) as error:
        raise StudentError(f"{folder / FILE} cannot be read ({error})", hint="Give another --out.") from None
    if found != identity:
        different = ", ".join(sorted(name for name in {*found, *identity} if found.get(name) != identity.get(name)))
        raise StudentError(
            f"{folder}: another course was begun there (it differs in: {different})",
            hint="Give another --out, or the options that it was begun with.",
        )
    return notebook
