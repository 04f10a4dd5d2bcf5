"""Fixtures of the room: a small pack to break."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.personas.small_pack import SmallPack


@pytest.fixture
def small(tmp_path: Path) -> SmallPack:
    """A valid pack of a few lines in a folder of its own."""
    return SmallPack(tmp_path / "small")
