"""Arrays in a file: whatever becomes of its bytes, they are read as they were or refused with words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from personas.errors import StudentError
from simulator.behaviour.arrays import fingerprint_of, load_arrays, save_arrays


def test_no_changed_byte_ends_in_another_error_than_ours(tmp_path: Path) -> None:
    arrays = {"a": np.arange(500) % 7, "b": np.zeros((2, 0))}
    file = tmp_path / "tables.npz"
    save_arrays(file, arrays)
    whole, refused = file.read_bytes(), 0
    for place in range(len(whole)):
        for change in (0xFF, 0x01):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            try:
                load_arrays(file)
            except StudentError:
                refused += 1
    assert refused > len(whole) / 2
    file.write_bytes(whole)
    assert fingerprint_of(load_arrays(file)) == fingerprint_of(arrays)
