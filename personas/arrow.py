"""How a process that moves millions of rows uses Arrow: with memory that it keeps, and without pandas.

The same large columns are made and dropped again and again. By its own settings the allocator gives each of them back
to the system, which hands out the next one page by page, filled with zeros: a sixth of the simulator's processor time.
Two ways considered: buffers of ours to be filled again, which neither numpy nor Arrow takes everywhere; or, chosen, one
allocator for both (the C library's, which lets the one fill what the other has left), told to keep what it has. It
takes less memory, too, than two that each keep their own.

pyarrow and DuckDB look for pandas as soon as they are handed a Python object, and load it where it is installed: a
third of a second for nothing, since Dayone uses none. Knows no column and no room.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the names of these settings in `mallopt` of GNU's C library
#: As much as this, freed and not used again, is given back to the system.
KEPT_BYTES = 256 * 1024 * 1024
#: Only what is larger has memory of its own, which goes back at once.
LARGEST_BYTES = 1024 * 1024 * 1024


class _WithoutPandas:
    """Finds no pandas, whether it is installed or not."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """For `sys.meta_path`."""
        if name == "pandas":
            raise ModuleNotFoundError("left out: this process runs without pandas", name=name)


def leave_pandas_out() -> None:
    """To be called when a process begins, before anything is made of Arrow's or DuckDB's: it has no pandas then."""
    if not any(isinstance(finder, _WithoutPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutPandas())


def keep_memory() -> None:
    """From now on, memory that is freed is used again. Where the C library is not GNU's, all stays as it is."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        import pyarrow as pa

        library.mallopt(_MMAP_THRESHOLD, LARGEST_BYTES)
        library.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        pa.set_memory_pool(pa.system_memory_pool())
