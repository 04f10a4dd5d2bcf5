"""Every kind of store keeps the contract: the DuckDB file, and lakes with either catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sinks.place import place_of
from sinks.store import Store
from tests.contracts.sink_exactly_once import ExactlyOnce
from tests.postgres import Server


class TestDuckDB(ExactlyOnce):
    def open_store(self, path: Path) -> Any:
        return Store.open(path)


class TestLakeInSQLite(ExactlyOnce):
    def words(self, path: Path) -> list[str]:
        return [f"ducklake:sqlite:{path}", ""]

    def open_store(self, path: Path) -> Any:
        return Store.open(place_of(*self.words(path)))


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
class TestLakeInPostgreSQL(ExactlyOnce):
    @pytest.fixture(autouse=True)
    def database(self, postgres: Server) -> None:
        self.connection = postgres.make_database()

    def words(self, path: Path) -> list[str]:
        return [f"ducklake:postgres:{self.connection}", f"{path}.files"]

    def open_store(self, path: Path) -> Any:
        return Store.open(place_of(*self.words(path)))
