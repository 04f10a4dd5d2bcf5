"""A process that prepares Arrow for bulk work: without pandas, unless it is asked for by name, and one allocator."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import importlib.util, json, sys
from personas.arrow import keep_memory, leave_pandas_out
leave_pandas_out()
keep_memory()
import pyarrow as pa
numbers = pa.array([1, 2, 3])
told = {"installed": importlib.util.find_spec("pandas") is not None, "loaded": "pandas" in sys.modules}
told["allocator"], told["kept"] = pa.default_memory_pool().backend_name, numbers.to_pylist()
told["asked"] = numbers.to_pandas().sum().item() if told["installed"] else None
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What a process says of itself that was started from nothing, with all that is installed."""
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, env={"PYTHONPATH": "."})
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_pandas_is_left_out_until_somebody_asks_for_it(told: dict[str, Any]) -> None:
    assert (told["installed"], told["loaded"], told["asked"]) == (True, False, 6)


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is that of GNU's C library")
def test_memory_is_the_c_librarys(told: dict[str, Any]) -> None:
    assert (told["allocator"], told["kept"]) == ("system", [1, 2, 3])
