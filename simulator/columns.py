"""Growing tables of NumPy columns: append rows by the thousand, read them as arrays, start over without allocating."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Columns:
    """A table with named columns of fixed type. `shapes` gives columns that hold a row of numbers each."""

    def __init__(self, types: dict[str, Any], shapes: dict[str, int] | None = None, capacity: int = 4096) -> None:
        self._types = types
        self._shapes = shapes or {}
        self._count = 0
        self._data = {name: self._empty(name, capacity) for name in types}

    def _empty(self, name: str, capacity: int) -> npt.NDArray[Any]:
        shape = (capacity, self._shapes[name]) if name in self._shapes else (capacity,)
        return np.empty(shape, dtype=self._types[name])

    def __len__(self) -> int:
        return self._count

    def append(self, count: int, **columns: Any) -> None:
        """Append `count` rows; every column is an array of that length, or one value for all."""
        capacity = len(next(iter(self._data.values())))
        if self._count + count > capacity:
            while self._count + count > capacity:
                capacity *= 2
            for name, old in self._data.items():
                self._data[name] = self._empty(name, capacity)
                self._data[name][: self._count] = old[: self._count]
        for name, values in columns.items():
            self._data[name][self._count : self._count + count] = values
        self._count += count

    def take(self) -> dict[str, npt.NDArray[Any]]:
        """All rows as arrays of their own; the table is empty afterwards."""
        rows = {name: column[: self._count].copy() for name, column in self._data.items()}
        self._count = 0
        return rows
