"""Named arrays in a file: NumPy's .npz, never with pickled objects, the same bytes for the same arrays.

Two ways were weighed: Parquet or .npz. These are arrays of several shapes that belong together, not rows of a table,
and every reader of them is NumPy. A file is written beside its place and moved there, so it is there whole or not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.errors import StudentError

Arrays = dict[str, npt.NDArray[Any]]


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write the arrays in the order of their names."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        np.savez_compressed(file, **{name: np.asarray(arrays[name], order="C") for name in sorted(arrays)})  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_arrays(path: Path) -> Arrays:
    """What `save_arrays` wrote. OSError where it is not there; ValueError where it is damaged or something else."""
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except Exception as error:  # archive, compression, headers: each of them is read with errors of its own
            raise ValueError(f"{type(error).__name__}: {error}") from error


def load_arrays(path: Path) -> Arrays:
    """Like `read_arrays`, for what is a student's: StudentError when the file is missing, cut off or something else."""
    try:
        return read_arrays(path)
    except FileNotFoundError:
        raise StudentError(f"there is no file {path}", hint="Make it with: dayone teach PACK --out DIR") from None
    except (OSError, ValueError) as error:
        hint = "It is damaged or was not written by Dayone: remove its folder and make it again."
        raise StudentError(f"{path} cannot be read as arrays ({error})", hint=hint) from None


def fingerprint_of(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 (hex) over the names, types, shapes and bytes of the arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
