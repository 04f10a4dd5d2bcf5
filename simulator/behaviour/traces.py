"""Traces: what was decided in which circumstances, one row per decision. What a Behaviour is fitted to.

The form is the same whoever decided: a tutor's walk, a played plan, an oracle in a test, real people. A row holds
everything that a Behaviour may look at, and what was decided; what was legal follows from the situation. Choices of an
item from a slate are a table of their own, because few decisions are one. Knows no engine and no teacher.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.errors import StudentError
from personas.pack import Pack
from personas.population import trait_names
from personas.randomness import F64
from simulator.behaviour.arrays import Arrays, fingerprint_of, load_arrays, save_arrays

HEADER, CHOICE = "header", "choice."


@dataclass(frozen=True)
class Choices:
    """K items chosen from slates of at most W places. `row` is the decision in the traces, `level` the row of
    `Behaviour.appeal`, `shown` [K, W] item numbers (-1: nothing in this place), `taste` [K, W] the user's taste for the
    category of each, `known` [K, W] whether the user opened it lately, `place` the place that was chosen, from 0."""

    row: npt.NDArray[np.int64]
    slate: npt.NDArray[np.int16]
    level: npt.NDArray[np.int16]
    shown: npt.NDArray[np.int32]
    taste: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    place: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.row)

    def only(self, rows: npt.NDArray[Any]) -> Choices:
        """The given rows (indices or mask)."""
        return Choices(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True)
class Traces:
    """N decisions. `session` numbers the sessions from 0; `persona`, `intent`, `situation` are rows of
    `Behaviour.next_event`; `last` is the event before (E: none) and `problem` the one that struck it (-1: none);
    `reached`: the goal was reached before; `events` so far in the session, before which nobody leaves; `patience` in
    events; `traits` [N, T] from 0 to 1; `focus` the item in focus or -1; `level` as in Choices; `event` what was
    decided (E: to leave); `dwell` the seconds spent after it (nan: not known, or a problem made another event of it);
    `weight` how much the row counts."""

    session: npt.NDArray[np.int64]
    persona: npt.NDArray[np.int16]
    intent: npt.NDArray[np.int16]
    situation: npt.NDArray[np.int16]
    last: npt.NDArray[np.int16]
    problem: npt.NDArray[np.int16]
    reached: npt.NDArray[np.bool_]
    events: npt.NDArray[np.int16]
    patience: npt.NDArray[np.float32]
    traits: npt.NDArray[np.float32]
    focus: npt.NDArray[np.int32]
    level: npt.NDArray[np.int16]
    event: npt.NDArray[np.int16]
    dwell: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    choices: Choices

    def __len__(self) -> int:
        return len(self.event)

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return int(self.session.max(initial=-1)) + 1

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over all arrays."""
        return fingerprint_of(self.arrays())

    def of_sessions(self, keep: npt.NDArray[np.bool_]) -> Traces:
        """The sessions for which `keep` [sessions] is true, numbered anew in the same order."""
        rows = keep[self.session]
        place = np.cumsum(rows) - 1
        chosen = self.choices.only(rows[self.choices.row])
        columns = {name: getattr(self, name)[rows] for name in COLUMNS}
        columns["session"] = (np.cumsum(keep) - 1)[columns["session"]]
        moved = {field.name: getattr(chosen, field.name) for field in fields(Choices)} | {"row": place[chosen.row]}
        return Traces(**columns, choices=Choices(**moved))

    def of_rows(self, rows: npt.NDArray[np.int64]) -> Traces:
        """The given decisions by themselves, in the sessions that they had; without the choices of items."""
        nothing = self.choices.only(np.zeros(0, dtype=np.int64))
        return Traces(**{name: getattr(self, name)[rows] for name in COLUMNS}, choices=nothing)

    @staticmethod
    def join(parts: Sequence[Traces]) -> Traces:
        """All parts, one after the other; each brings sessions of its own."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        before = np.cumsum([0, *(part.sessions for part in parts[:-1])])
        columns["session"] = columns["session"] + np.repeat(before, [len(part) for part in parts])
        of = [part.choices for part in parts]
        choices = {field.name: np.concatenate([getattr(one, field.name) for one in of]) for field in fields(Choices)}
        rows = np.cumsum([0, *(len(part) for part in parts[:-1])])
        choices["row"] = choices["row"] + np.repeat(rows, [len(one) for one in of])
        return Traces(**columns, choices=Choices(**choices))

    def arrays(self) -> Arrays:
        """All arrays by name, for a file."""
        choices = {f"{CHOICE}{field.name}": getattr(self.choices, field.name) for field in fields(Choices)}
        return {name: getattr(self, name) for name in COLUMNS} | choices


COLUMNS = tuple(field.name for field in fields(Traces) if field.name != "choices")


def no_traces(pack: Pack) -> Traces:
    """No decisions, in the shapes that the pack has."""
    widest = max((slate.size for slate in pack.product.slates.values()), default=1)
    whole = np.zeros(0, dtype=np.int16)
    wide = np.zeros((0, widest), dtype=np.float32)
    choices = Choices(
        row=whole.astype(np.int64), slate=whole, level=whole, shown=wide.astype(np.int32), taste=wide,
        known=wide.astype(np.bool_), place=whole,
    )  # fmt: skip
    real = whole.astype(np.float32)
    return Traces(
        session=whole.astype(np.int64), persona=whole, intent=whole, situation=whole, last=whole, problem=whole,
        reached=whole.astype(np.bool_), events=whole, patience=real,
        traits=np.zeros((0, len(trait_names(pack))), dtype=np.float32), focus=whole.astype(np.int32), level=whole,
        event=whole, dwell=real, weight=real, choices=choices,
    )  # fmt: skip


def save_traces(path: Path, traces: Traces, pack: Pack) -> None:
    """Write traces to a file (.npz) that also says which pack their numbers refer to."""
    header = np.frombuffer(json.dumps({"pack_fingerprint": pack.fingerprint}).encode(), dtype=np.uint8)
    save_arrays(path, traces.arrays() | {HEADER: header})


def load_traces(path: Path, pack: Pack) -> Traces:
    """Read traces. StudentError when the file is damaged, or belongs to another pack or version of it."""
    arrays = load_arrays(path)
    if missing := sorted({HEADER, *no_traces(pack).arrays()} - set(arrays)):
        hint = "It was not written as traces, or by another version: make it again."
        raise StudentError(f"{path} holds no traces: {', '.join(missing)} missing", hint=hint)
    found = json.loads(arrays.pop(HEADER).tobytes())["pack_fingerprint"]
    if found != pack.fingerprint:
        raise StudentError(
            f"{path} was recorded with pack {found[:12]}, this one is {pack.fingerprint[:12]} ({pack.product.name})",
            hint="Traces hold the numbers of events and items, so they fit only the very pack that they come from.",
        )
    return traces_of(arrays)


def traces_of(arrays: Arrays) -> Traces:
    """The traces of which `Traces.arrays` gave these. TypeError when some are missing or too many."""
    chosen = {name.removeprefix(CHOICE): array for name, array in arrays.items() if name.startswith(CHOICE)}
    columns = {name: array for name, array in arrays.items() if not name.startswith(CHOICE)}
    return Traces(**columns, choices=Choices(**chosen))


def legal_moves(traces: Traces, legal: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """[N, E+1]: what was legal at each decision; `legal` is the world's table. Nobody leaves before the first event."""
    moves = legal[traces.situation]
    moves[traces.events == 0, -1] = False
    return np.asarray(moves)


def tiredness(traces: Traces) -> F64:
    """[N]: the logarithm of (events so far / patience) once patience is used up, else 0."""
    return np.asarray(np.log(np.maximum(traces.events / np.maximum(traces.patience.astype(np.float64), 1e-6), 1.0)))
