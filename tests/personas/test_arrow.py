"""A process that prepares Arrow for bulk work: without pandas, and with one allocator for all."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import importlib.metadata, json, sys
from personas.arrow import keep_memory, leave_pandas_out
leave_pandas_out()
keep_memory()
import duckdb, pyarrow as pa
numbers = pa.array([1, 2, 3])
found = duckdb.execute("SELECT sum(n) + ? FROM (VALUES (1), (2)) numbers(n)", [3])
told = {"installed": bool(importlib.metadata.version("pandas")), "loaded": "pandas" in sys.modules}
told["allocator"], told["sum"] = pa.default_memory_pool().backend_name, found.fetchall()[0][0] + len(numbers)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What a process says of itself that was started from nothing, with all that is installed."""
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, env={"PYTHONPATH": "."})
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_pandas_is_left_out(told: dict[str, Any]) -> None:
    assert (told["installed"], told["loaded"], told["sum"]) == (True, False, 9)


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is that of GNU's C library")
def test_memory_is_the_c_librarys(told: dict[str, Any]) -> None:
    assert told["allocator"] == "system"
