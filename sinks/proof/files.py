"""Puts files into a folder, each whole or not at all. Knows no proof."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from personas.errors import ProofError


def put(folder: Path, files: Mapping[str, Callable[[Path], object]]) -> None:
    """Make the folder and, by name, each file by the function that writes it to a path. ProofError where nothing can be
    written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in files.items():
            hidden = folder / f".{name}.{os.getpid()}.partial"
            write(hidden)
            hidden.replace(folder / name)
    except OSError as error:
        raise ProofError(
            f"{folder}: nothing can be written there ({error.strerror}).", hint="Give another --out."
        ) from error
