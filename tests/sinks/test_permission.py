"""The read-only role, tried through the socket with the token itself: whoever asks is not the owner of the sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from personas.errors import StoreError
from sinks.attach import ServedStore
from sinks.notice import find, sql_file
from sinks.serve import Readers
from sinks.store import Store
from tests.sinks.test_store import count, filled


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that is being served."""
    with filled(tmp_path_factory.mktemp("served") / "a.duckdb") as opened, Readers(opened.database):
        yield opened


@pytest.fixture(scope="module")
def reader(store: Store) -> Iterator[ServedStore]:
    notice = find(store.path)
    assert notice is not None
    served = ServedStore.connect(notice)
    yield served
    served.close()


@pytest.fixture(scope="module")
def attached(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """An analyst's own DuckDB, attached as the notice says but not of its own will read-only."""
    with duckdb.connect() as connection:
        connection.execute(sql_file(store.path).read_text().replace(", READ_ONLY", ""))
        yield connection


def state_of(store: Store) -> list[object]:
    """What may not change, whatever a reader tries."""
    sql = """SELECT (SELECT count(*) FROM events), (SELECT sum(next_offset) FROM offsets),
                    (SELECT list(table_name ORDER BY table_name) FROM duckdb_tables()),
                    (SELECT count(*) FROM duckdb_views()),
                    (SELECT list(name || value ORDER BY name) FROM duckdb_settings() WHERE name NOT LIKE '%memory%'),
                    (SELECT list(database_name ORDER BY database_name) FROM duckdb_databases()),
                    (SELECT list(listen_uri) FROM quack_server_list())"""
    return list(store.query(sql).to_pylist()[0].values())


QUESTIONS = [
    "SELECT count(*) AS n FROM events",
    "FROM events ORDER BY time DESC LIMIT 3",
    "WITH late AS MATERIALIZED (FROM sessions WHERE events > 1) SELECT user_id, sum(value) FROM late GROUP BY ALL",
    "SELECT type, count(*) AS n, rank() OVER (ORDER BY count(*)) FROM events GROUP BY ALL HAVING n > 1 ORDER BY ALL",
    "SELECT properties ->> 'category', json_extract(properties, '$.price'), type ILIKE '%p1%' FROM events",
    "SELECT time::DATE, date_trunc('day', time), strftime(time, '%Y'), time + INTERVAL 1 DAY FROM events LIMIT 1",
    "SELECT [x + 1 for x in range(3)], list_transform([1], lambda x: x * 2), {'a': 1}, MAP {'k': 'v'}",
    "SELECT quantile_cont(value, 0.9), approx_count_distinct(user_id), arg_max(user_id, value) FROM sessions",
    "PIVOT sessions ON device IN ('phone') USING count(*)",
    "FROM tiny.product_viewed LIMIT 2",
    "FROM sessions_per_day",
    "SELECT * FROM events JOIN sessions USING (session_id) SEMI JOIN users ON users.user_id = events.user_id LIMIT 1",
    "SELECT value FROM json_each('[1, 2]')",
    "FROM range(3)", "FROM generate_series(1, 3)", "SELECT unnest([1, 2])", "VALUES (1), (2)", "TABLE events",
    "SHOW TABLES", "DESCRIBE events", "SUMMARIZE sessions", "SHOW ALL TABLES", "FROM duckdb_tables()",
    "FROM information_schema.tables", "EXPLAIN SELECT 1", "explain  analyze SELECT count(*) FROM events",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) FROM n",
    "SELECT 'INSERT INTO x; \"function_name\":\"read_text\"' AS text -- DROP TABLE events",
]  # fmt: skip


def test_a_reader_may_ask(reader: ServedStore) -> None:
    for sql in QUESTIONS:
        assert reader.reader(sql).read_all().num_columns > 0, sql


WRITES = [
    "INSERT INTO events SELECT * FROM events", "INSERT INTO offsets VALUES ('c', 't', 0, 9)",
    "  insert into offsets values ('c', 't', 0, 9)", "/* a */ INSERT INTO offsets VALUES ('c', 't', 0, 9)",
    "WITH a AS (SELECT 1) INSERT INTO offsets SELECT 'c', 't', 0, 9", "UPDATE offsets SET next_offset = 0",
    "DELETE FROM offsets", "TRUNCATE offsets", "MERGE INTO offsets USING offsets AS o ON true WHEN MATCHED THEN DELETE",
    "CREATE TABLE mine AS SELECT 1", "CREATE TEMP TABLE mine (n INTEGER)", "CREATE VIEW mine AS SELECT 1",
    "CREATE OR REPLACE VIEW sessions_per_day AS SELECT 1", "CREATE MACRO mine() AS 1", "CREATE SCHEMA mine",
    "CREATE OR REPLACE MACRO readers.main.permit(session, statement) AS statement", "CREATE SEQUENCE mine",
    "CREATE SECRET (TYPE quack, TOKEN 'abcdefgh')", "DROP TABLE events", "DROP SCHEMA tiny CASCADE",
    "ALTER TABLE events ADD COLUMN mine INTEGER", "COMMENT ON TABLE events IS 'mine'",
    "CREATE INDEX i ON offsets (topic)",
    "VACUUM", "ANALYZE", "CHECKPOINT", "FORCE CHECKPOINT", "BEGIN TRANSACTION", "COMMIT", "ROLLBACK",
]  # fmt: skip
SETTINGS = [
    "SET threads = 1", "SET GLOBAL memory_limit = '1MB'", "RESET threads", "PRAGMA threads = 1", "PRAGMA database_list",
    "SET enable_external_access = true", "SET VARIABLE a = 1", "USE readers", "SET SESSION schema = 'readers.main'",
    "SET GLOBAL quack_authorization_function = 'quack_nop_authorization'", "SELECT setseed(0.5)",
    "SELECT current_setting('memory_limit')", "FROM duckdb_settings()", "FROM duckdb_secrets()",
    "SELECT getenv('HOME')", "PREPARE p AS SELECT 1", "EXECUTE p", "DEALLOCATE p", "CALL enable_logging()",
    "FROM enable_logging()", "FROM duckdb_logs()", "SELECT write_log('x')", "SELECT nextval('s')", "SELECT sleep_ms(1)",
    "SELECT pg_sleep(1)", "FROM checkpoint()", "CALL force_checkpoint()", "PRAGMA force_checkpoint",
]  # fmt: skip
FILES = [
    "FROM read_csv('{file}')", "FROM '{file}'", "FROM \"{file}\"", "FROM read_parquet('{file}')",
    "FROM read_json('{file}')",
    "FROM read_text('{file}')", "SELECT content FROM read_blob('{file}')", "FROM glob('/etc/*')",
    "FROM sniff_csv('{file}')",
    "FROM parquet_metadata('{file}')", "FROM parquet_scan('{file}')", "FROM read_duckdb('{file}')",
    "COPY events TO '{file}.out'", "COPY (SELECT 1) TO '{file}.out'", "COPY events FROM '{file}'",
    "EXPORT DATABASE '{file}.out'", "IMPORT DATABASE '{file}.out'", "ATTACH '{file}.out' AS mine",
    "ATTACH ':memory:' AS mine", "DETACH readers", "INSTALL httpfs", "INSTALL spatial FROM community", "LOAD '{file}'",
    "LOAD httpfs", "UPDATE EXTENSIONS", "FROM read_csv('http://127.0.0.1:9/x')", "FROM 'https://127.0.0.1:9/x.parquet'",
    "FROM 's3://bucket/x.parquet'", "EXPLAIN ANALYZE COPY events TO '{file}.out'", "EXPLAIN ANALYZE DELETE FROM events",
]  # fmt: skip
SERVERS = [
    "FROM quack_serve('quack:127.0.0.1:45671')", "CALL quack_serve('quack:127.0.0.1:45671')",
    "FROM quack_query('quack:127.0.0.1:9', 'SELECT 1', token := 'abcdefgh')", "FROM quack_server_list()",
    "FROM quack_active_connections()", "CALL quack_stop('{uri}')", "FROM quack_stop('{uri}')", "FROM whoami()",
    "FROM quack_identify(name := 'x')", "FROM quack_clear_cache()", "SELECT quack_nop_authorization('a', 'b')",
]  # fmt: skip
TRICKS = [
    "SELECT 1; DROP TABLE events", "SELECT 1; SELECT 2", "", ";", "-- nothing", "FROM query('DROP TABLE events')",
    "FROM query('FROM read_text(''{file}'')')", "FROM query_table('events')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "PRAGMA json_execute_serialized_sql('{{}}')", "SELECT json_serialize_plan('FROM read_text(''{file}'')')",
    "FROM arrow_scan(1, 2, 3)", "FROM pandas_scan(1)", "FROM seq_scan('events')", "FROM arrow_scan_dumb(1, 2, 3)",
    "FROM python_map_function(1)", "FROM store", "FROM connection", "FROM self", "SELECT \"a\"\"b\"(1)",
    "EXPLAIN EXPLAIN SELECT 1", "explain analyze explain analyze DROP TABLE events",
]  # fmt: skip


@pytest.mark.parametrize(
    "statements", [WRITES, SETTINGS, FILES, SERVERS, TRICKS], ids=["write", "set", "files", "servers", "tricks"]
)
def test_a_reader_may_not(store: Store, reader: ServedStore, tmp_path: Path, statements: list[str]) -> None:
    file, before, answered = tmp_path / "private.csv", state_of(store), []
    file.write_text("secret\n1\n")
    uri = store.query("SELECT listen_uri AS uri FROM quack_server_list()").column("uri").to_pylist()[0]
    for sql in statements:
        try:
            reader.reader(sql.replace("{file}", str(file)).replace("{uri}", uri)).read_all()
        except StoreError as refused:
            assert "LINE 1: FROM quack_query" not in str(refused), "an error speaks of the reader's own words"
        else:
            answered.append(sql)
        assert reader.reader("SELECT count(*) AS n FROM events").read_all().column("n").to_pylist() == [20]
    assert answered == []
    assert state_of(store) == before
    assert [path.name for path in tmp_path.iterdir()] == ["private.csv"]


#: So many of the places below are refused by DuckDB's parser already: it knows no functions there.
UNREADABLE = 5
#: Places in a query where a function may stand: each is looked at.
PLACES = [
    "SELECT {f}", "FROM {t}", "SELECT (SELECT count(*) FROM {t})", "WITH a AS (FROM {t}) FROM a",
    "WITH a AS MATERIALIZED (FROM {t}) SELECT 1", "SELECT 1 WHERE EXISTS (FROM {t})", "SELECT 1 ORDER BY {f}",
    "SELECT 1 LIMIT (SELECT count(*) FROM {t})", "SELECT 1 OFFSET (SELECT count(*) FROM {t})", "VALUES ({f})",
    "SELECT count(*) FILTER (WHERE {f} = '1') FROM events", "SELECT sum(1) OVER (ORDER BY {f}) FROM events",
    "SELECT sum(1) OVER w FROM events WINDOW w AS (PARTITION BY {f})", "SELECT count(*) FROM events GROUP BY {f}",
    "SELECT count(*) FROM events HAVING {f} = '1'", "SELECT 1 FROM events QUALIFY {f} = '1'",
    "SELECT * FROM events JOIN {t} ON true", "SELECT * FROM users JOIN events ON {f} = '1'",
    "FROM events, LATERAL (FROM {t})",
    "SELECT 1 UNION ALL FROM {t}", "SELECT list_transform([1], lambda x: {f})", "SELECT [{f} for x in [1]]",
    "SELECT * REPLACE ({f} AS type) FROM events", "SELECT CASE WHEN {f} = '1' THEN 1 END", "SELECT {{'a': {f}}}",
    "DESCRIBE FROM {t}", "SUMMARIZE FROM {t}", "SUMMARIZE (SELECT {f})", "DESCRIBE SELECT {f}", "EXPLAIN FROM {t}",
    "PIVOT (FROM {t}) ON 1 IN (1) USING count(*)", "UNPIVOT (FROM {t}) ON *", "SELECT coalesce(NULL, {f})",
    "PIVOT events ON type IN (SELECT {f}) USING count(*)", "SELECT {f}::VARCHAR COLLATE nocase", "SELECT 'a'.{f2}",
    "SELECT min(COLUMNS(*)) FROM {t}", "SELECT COLUMNS(lambda c: c = {f}) FROM events", "SELECT DISTINCT ON ({f}) 1",
    "SELECT 1 IN (FROM {t})", "SELECT {f} BETWEEN '1' AND '2'", "SELECT main.{f}", "SELECT system.main.{f}",
    "WITH RECURSIVE a AS (SELECT 1 UNION ALL FROM {t}) FROM a", "FROM (FROM (FROM {t}))",
    "SELECT struct_pack(a := {f})",
    "FROM events AT (VERSION => {f})", "FROM range((SELECT count(*) FROM {t}))",
    "FROM events TABLESAMPLE reservoir(1 ROWS), {t}",
    "FROM events ASOF JOIN (FROM {t}) AS b ON events.time >= b.time", "FROM events POSITIONAL JOIN {t}",
    "SELECT ({f}, 1)", "SELECT ARRAY(FROM {t})", "SELECT string_agg({f}, ',' ORDER BY {f})",
    "FROM duckdb_settings() AS a",
]  # fmt: skip


def test_no_place_in_a_query_hides_a_function(reader: ServedStore) -> None:
    found = {}
    for place in PLACES:
        sql = place.replace("{{", "{").replace("}}", "}").replace("{f2}", "write_log()")
        sql = sql.replace("{f}", "current_setting('threads')").replace("{t}", "duckdb_settings()")
        try:
            found[place] = f"answered: {reader.reader(sql).read_all()}"
        except StoreError as refused:
            found[place] = str(refused)
    other = {place: text for place, text in found.items() if "may not call" not in text}
    unread = {place: text for place, text in other.items() if "Parser Error" in text or "may only ask" in text}
    assert other == unread
    assert len(unread) <= UNREADABLE, f"these test nothing, their syntax is wrong: {unread}"


THROUGH_ATTACHED = [
    "INSERT INTO dayone.offsets VALUES ('c', 't', 0, 9)", "INSERT INTO dayone.offsets FROM dayone.offsets",
    "CREATE TABLE dayone.mine AS SELECT 1 AS n", "CREATE TABLE dayone.mine (n INTEGER)", "DROP TABLE dayone.offsets",
    "CREATE SCHEMA dayone.mine", "UPDATE dayone.offsets SET next_offset = 0", "DELETE FROM dayone.offsets",
    "ALTER TABLE dayone.offsets ADD COLUMN n INTEGER", "CREATE VIEW dayone.mine AS SELECT 1",
    "CALL dayone.query('DELETE FROM offsets')", "CREATE INDEX i ON dayone.offsets (topic)",
    "FROM dayone.query('INSERT INTO offsets VALUES (''c'', ''t'', 0, 9)')", "DROP SCHEMA dayone.tiny",
    "CHECKPOINT dayone", "CALL dayone.query('CREATE TABLE mine (n INTEGER)')",
]  # fmt: skip


def test_nor_through_an_attached_database(store: Store, attached: duckdb.DuckDBPyConnection) -> None:
    """Quack's client appends rows and makes tables by other messages than statements."""
    before = state_of(store)
    for sql in THROUGH_ATTACHED:
        with pytest.raises(duckdb.Error):
            attached.execute(sql).fetchall()
        assert state_of(store) == before, sql


def test_rows_appended_by_a_client_are_refused_by_the_server(store: Store, attached: duckdb.DuckDBPyConnection) -> None:
    """The refusal comes from the server: the client has sent the rows."""
    with pytest.raises(duckdb.Error, match="Authorization failed"):
        attached.execute("INSERT INTO dayone.offsets VALUES ('c', 't', 0, 9)")
    assert count(store, "offsets") == 5


def test_the_list_of_functions_holds_nothing_that_acts(store: Store) -> None:
    """A new DuckDB that brings new functions is looked at before it is taken: all of these only compute."""
    acting = ("read", "write", "scan", "copy", "file", "glob", "http", "quack", "getenv", "env_", "secret", "load",
    "exec",
              "setting", "checkpoint", "sleep", "sniff", "parquet", "arrow", "pandas", "python", "query")  # fmt: skip
    sql = (
        "SELECT unnest(regexp_extract_all(macro_definition, '''([a-z0-9_]+)''', 1)) AS name "
        "FROM duckdb_functions() WHERE function_name = 'permit'"
    )
    allowed = set(store.query(sql).column("name").to_pylist())
    assert {"sum", "lower", "json_extract", "range"} <= allowed
    harmless = {"variant_to_parquet_variant", "current_query", "current_query_id", "parse_filename",
                "pg_conf_load_time", "formatreadablesize", "formatreadabledecimalsize"}  # fmt: skip
    assert {name for name in allowed if any(word in name for word in acting)} - harmless == set()
