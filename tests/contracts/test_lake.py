"""Lakes with either catalogue keep the contract of many writers; and what is told where a lake cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from personas.errors import SettingsError, StoreError
from sinks.place import Place, place_of
from sinks.settings import load_settings
from sinks.store import Store
from sinks.turns import turn
from tests.contracts.lake import ManyWriters
from tests.postgres import Server


class TestSQLite(ManyWriters):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return place_of(f"ducklake:sqlite:{tmp_path / 'lake.sqlite'}")


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
class TestPostgreSQL(ManyWriters):
    @pytest.fixture
    def place(self, postgres: Server, tmp_path: Path) -> Place:
        return place_of(f"ducklake:postgres:{postgres.make_database()}", str(tmp_path / "files"))


def test_a_place_is_read_and_a_password_is_refused_in_it() -> None:
    assert place_of("a.duckdb") == Place("file", "a.duckdb")
    assert place_of("ducklake:sqlite:a/b").data_path == "a/b.files"
    place = place_of("ducklake:postgres:dbname=lake host=db", "s3://bucket/lake", "secret")
    assert (place.kind, place.target, place.data_path) == ("postgres", "dbname=lake host=db", "s3://bucket/lake")
    assert "secret" not in repr(place) + place.name
    for bad in ("ducklake:mysql:x", "ducklake:sqlite:", "ducklake:postgres:dbname=l password=geheim",
                "ducklake:postgres:postgresql://me:geheim@db/lake"):  # fmt: skip
        with pytest.raises(StoreError) as caught:
            place_of(bad)
        assert "geheim" not in str(caught.value)


def test_a_lake_that_is_not_there_or_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database yet"):
        Store.open(f"ducklake:sqlite:{tmp_path / 'none'}", read_only=True)
    (tmp_path / "text").write_text("no catalogue " * 1000)
    with pytest.raises(StoreError, match="no lake's catalogue"):
        Store.open(f"ducklake:sqlite:{tmp_path / 'text'}")
    with pytest.raises(StoreError, match="only a lake remembers"):
        Store.open(tmp_path / "a.duckdb", at="3")


def test_what_to_install_is_told_where_an_extension_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.extensions.find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"pip install 'dayone\[lake\]'"):
        Store.open(f"ducklake:sqlite:{tmp_path / 'lake'}")


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_a_password_comes_from_a_setting_or_a_file_and_is_never_told(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = postgres.make_database()
    database = connection.split()[0].removeprefix("dbname=")
    postgres.sql(f"CREATE ROLE {database} LOGIN SUPERUSER PASSWORD 'o''pen sesame'")
    rules = postgres.folder / "data" / "pg_hba.conf"
    rules.write_text(f"local {database} {database} scram-sha-256\n{rules.read_text()}")
    postgres.sql("SELECT pg_reload_conf()")
    store = f"ducklake:postgres:{postgres.connection(database, database)}"
    (tmp_path / "password").write_text("o'pen sesame\n")
    for name, value in (("PASSWORD", "o'pen sesame"), ("PASSWORD_FILE", str(tmp_path / "password"))):
        monkeypatch.setenv(f"DAYONE_STORE_{name}", value)
        settings = load_settings(store=store, store_data_path=str(tmp_path / "files"))
        Store.open(settings.place).close()
        assert "sesame" not in repr(settings) + repr(settings.place)
        monkeypatch.delenv(f"DAYONE_STORE_{name}")
    monkeypatch.setenv("DAYONE_STORE_PASSWORD", "wrong sesame")
    with pytest.raises(StoreError, match="another password") as caught:
        Store.open(load_settings(store=store).place)
    assert "sesame" not in str(caught.value)
    with pytest.raises(StoreError, match="does not let us in.*does not exist"):
        Store.open(f"ducklake:postgres:{postgres.connection('nowhere')}")
    monkeypatch.setenv("DAYONE_STORE_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="cannot be read"):
        _ = load_settings(store=store).place


def test_turns_are_taken_and_patience_ends(tmp_path: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with turn(tmp_path / "lock", clock=lambda: now[0], sleep=sleep) as held:
        assert held
        with turn(tmp_path / "lock", 2.0, clock=lambda: now[0], sleep=sleep) as second:
            assert not second
    assert now[0] >= 2.0
    with turn(tmp_path / "lock", 0.0) as third:
        assert third
