"""What the contracts of lakes share: a signature that was found good is not computed again for every store."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from sinks.extensions import loading_by_link


@pytest.fixture(scope="session")
def good_signatures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """DuckDB finds the signatures of all that makes a lake good; it reads 80 megabytes for that."""
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        for name in ("ducklake", "sqlite", "postgres"):
            connection.execute(loading_by_link(name, str(tmp_path_factory.mktemp(name))))


@pytest.fixture(autouse=True)
def signatures_are_computed_once(good_signatures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each store of these tests is a DuckDB of its own, which would look at the same files again, for a quarter of a
    second. All other tests leave it to do so."""
    connect = duckdb.connect

    def trusting(*arguments: Any, config: dict[str, Any] | None = None, **others: Any) -> duckdb.DuckDBPyConnection:
        return connect(*arguments, config={**(config or {}), "allow_unsigned_extensions": True}, **others)

    monkeypatch.setattr(duckdb, "connect", trusting)
