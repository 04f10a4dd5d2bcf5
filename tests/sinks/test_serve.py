"""Live readers: whole batches or none, notices that are private and never stale, and a sink that goes on without."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from personas.errors import LockedStoreError, StoreError
from sinks import attach, extensions, notice, serve
from sinks.attach import ServedStore, opened
from sinks.cli import app
from sinks.ingest import Decoder
from sinks.place import place_of
from sinks.serve import Readers, served
from sinks.store import Store
from sinks.vocabulary import vocabulary_of
from tests.sinks.making import EVENTS, SESSIONS, batch_of, other_records, session_events, tiny_pack
from tests.sinks.test_store import filled

BATCHES = 40
SESSIONS_PER_BATCH = 50
EVENTS_PER_BATCH = 4 * SESSIONS_PER_BATCH

#: A reader in a process of its own: asks until it sees the last batch, and prints every count it saw that is odd.
READER = f"""
    import sys
    from sinks.attach import ServedStore
    from sinks.notice import find

    sql = '''SELECT (SELECT count(*) FROM events) AS events, (SELECT sum(events) FROM ingests) AS counted,
                    (SELECT sum(next_offset) FROM offsets WHERE topic LIKE '%.events') AS offset,
                    (SELECT count(*) FROM sessions) AS sessions, (SELECT sum(messages) FROM ingests) AS messages'''
    served = ServedStore.connect(find(sys.argv[1]))
    seen, odd = set(), []
    print("ready", flush=True)
    while True:
        row = served.reader(sql).read_all().to_pylist()[0]
        seen.add(row["events"])
        whole = row["events"] == row["counted"] == row["offset"] == 4 * row["sessions"]
        whole = whole and row["messages"] == 5 * row["sessions"] and row["events"] % {EVENTS_PER_BATCH} == 0
        odd += [] if whole else [row]
        if row["events"] >= {BATCHES * EVENTS_PER_BATCH}:
            break
    print(len(seen), odd)
"""


def test_no_reader_sees_half_a_batch(tmp_path: Path) -> None:
    decoder = Decoder(vocabulary_of(tiny_pack()))
    with Store.open(tmp_path / "a.duckdb") as store, Readers(store.database):
        store.load_pack(tiny_pack())
        first = range(SESSIONS_PER_BATCH)
        command = [sys.executable, "-c", textwrap.dedent(READER), store.path]
        for number in range(BATCHES):
            sessions = [number * SESSIONS_PER_BATCH + session for session in first]
            events = [record for session in sessions for record in session_events(session)]
            summaries = [record for session in sessions for record in other_records(session)[SESSIONS]]
            batch = decoder.decode(
                [batch_of(EVENTS, events, 4 * sessions[0]), batch_of(SESSIONS, summaries, sessions[0])]
            )
            store.commit(batch, "c")
            if number == 0:
                readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
                for reader in readers:
                    assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
        for reader in readers:
            found, _ = reader.communicate(timeout=60)
            different, odd = found.split(maxsplit=1)
            assert odd.strip() == "[]"
            assert int(different) >= 3, "a reader that sees no batch come in has tested nothing"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "a.duckdb"


def test_the_notice_is_for_its_owner_alone_and_gone_at_the_end(store: Path) -> None:
    for file in (notice.json_file(str(store)), notice.sql_file(str(store))):
        file.write_text("an old one that all could read")
        file.chmod(0o644)
    with filled(store) as opened_store, Readers(opened_store.database) as readers:
        found = notice.find(str(store))
        assert found is not None and (found.address, found.pid) == (readers.address, os.getpid())
        for file in (notice.json_file(str(store)), notice.sql_file(str(store))):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert found.token in file.read_text()
        assert found.token not in repr(found)
    assert notice.find(str(store)) is None
    assert [path.name for path in store.parent.iterdir()] == ["a.duckdb"]


def test_the_token_is_new_each_time_is_needed_and_is_in_no_log(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens, caught = set(), []
    with caplog.at_level("DEBUG"):
        for _ in range(2):
            with filled(store) as opened_store, Readers(opened_store.database):
                found = notice.find(str(store))
                assert found is not None and len(found.token) == 64
                tokens.add(found.token)
                for token in ("x" * 64, found.token[:-1]):
                    wrong = ServedStore.connect(notice.Notice(found.address, token, 1, ""))
                    with pytest.raises(StoreError) as refused:
                        wrong.reader("SELECT 1").read_all()
                    caught.append(str(refused.value))
                    wrong.close()
    assert len(tokens) == 2
    assert not any(token in text for token in tokens for text in [caplog.text, *caught])
    assert all("Authentication failed" in text or "token" in text.lower() for text in caught), caught


def test_a_notice_that_a_killed_sink_left_behind_is_stale(store: Path) -> None:
    program = f"""
        import os
        from sinks.serve import Readers
        from tests.sinks.test_store import filled
        opened = filled({str(store)!r})
        Readers(opened.database).start()
        os.kill(os.getpid(), 9)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], timeout=60, check=False)
    assert killed.returncode == -9 and notice.json_file(str(store)).exists()
    assert notice.find(str(store)) is None
    with opened(place_of(str(store))) as asked:
        assert isinstance(asked, Store)
        assert asked.reader("SELECT count(*) AS n FROM events").read_all().column("n").to_pylist() == [20]
    with filled(store) as again, Readers(again.database):
        assert notice.find(str(store)) is not None, "and does not hinder the next one"


def test_a_notice_that_is_no_notice_is_none(store: Path) -> None:
    for text in ("", "{", "[]", '{"address": "x"}', '"text"'):
        notice.json_file(str(store)).write_text(text)
        assert notice.find(str(store)) is None


def test_dayone_sql_asks_the_sink_that_runs(store: Path) -> None:
    with filled(store) as opened_store, Readers(opened_store.database):

        def ask(*words: str, code: int = 0) -> str:
            result = CliRunner().invoke(app, ["sql", *words, "--store", str(store)])
            assert result.exit_code == code, result.output
            return result.output

        rows = ask("SELECT count(*) AS n, min(time) AS first FROM events", "--format", "json")
        assert json.loads(rows) == {"n": 20, "first": "2026-01-01T00:00:00Z"}
        tables = ask(".tables")
        assert "tiny.product_viewed" in tables and "What users did" in tables
        assert "the sink alone writes" in ask("DELETE FROM events", code=5)
        assert "may not call read_text" in ask("FROM read_text('/etc/hostname')", code=5)
    assert "20" in CliRunner().invoke(app, ["sql", "SELECT count(*) FROM events", "--store", str(store)]).output


def test_a_store_that_is_written_without_readers_is_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "PATIENCE_SECONDS", 0.1)
    filled(store).close()
    program = f"import duckdb; c = duckdb.connect({str(store)!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        with pytest.raises(LockedStoreError, match="--no-serve"), opened(place_of(str(store))):
            pass
        holder.communicate("\n")


def test_the_sink_goes_on_where_readers_cannot_be_served(
    store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(extensions, "find_spec", lambda name: None)
    with filled(store) as opened_store, served(opened_store.database, host="127.0.0.1", port=0) as readers:
        assert readers is None and notice.find(str(store)) is None
        opened_store.database.execute("DELETE FROM dead_letters")
    assert "live readers are off" in caplog.text and "pip install duckdb-extension-" in caplog.text


def test_a_port_that_is_taken_is_said(store: Path) -> None:
    with filled(store) as one, Readers(one.database) as readers, filled(store.with_name("b.duckdb")) as other:
        port = int(readers.address.rpartition(":")[2])
        with pytest.raises(StoreError, match=f"cannot be served on 127.0.0.1:{port}"):
            Readers(other.database, port=port).start()
        assert other.query("SELECT count(*) AS n FROM events").column("n").to_pylist() == [20]


def tasks() -> set[int]:
    """The threads of this process, by the system's number."""
    return {int(folder.name) for folder in Path("/proc/self/task").iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
def test_serving_threads_have_the_lowest_priority(store: Path) -> None:
    before, own = tasks(), os.getpriority(os.PRIO_PROCESS, 0)
    with filled(store) as opened_store:
        working = tasks() - before
        with Readers(opened_store.database):
            served_store = ServedStore.connect(notice.find(str(store)) or pytest.fail("no notice"))
            served_store.reader("SELECT 1").read_all()
            found = []
            for task in tasks() - before - working:
                try:
                    found.append(os.getpriority(os.PRIO_PROCESS, task))
                except ProcessLookupError:
                    continue
            assert serve.NICE in found
            assert os.getpriority(os.PRIO_PROCESS, 0) == own, "this thread, which writes, keeps its own"
            served_store.close()


def test_the_sink_writes_on_with_its_doors_shut(store: Path) -> None:
    """Without access to files, the store's own file and its log are written all the same, and spilled to."""
    with filled(store) as opened_store, Readers(opened_store.database):
        opened_store.load_pack(tiny_pack(2))
        opened_store.database.execute("CHECKPOINT")
        opened_store.database.execute("SET memory_limit = '100MB'")
        rows = opened_store.query("SELECT i FROM range(8_000_000) t(i) ORDER BY hash(i) LIMIT 1 OFFSET 7_000_000")
        assert rows.num_rows == 1
    with Store.open(store, read_only=True) as again:
        assert again.query("SELECT count(*) AS n FROM events").column("n").to_pylist() == [20]


def test_the_notebook_does_what_it_says(tmp_path: Path) -> None:
    notebook = json.loads((Path(__file__).parents[2] / "docs/live_readers.ipynb").read_text("utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 3 and not any(cell.get("outputs") for cell in notebook["cells"])
    with filled(tmp_path / "dayone.duckdb") as opened_store, Readers(opened_store.database):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-"], input="\n".join([*cells, "print(ask('FROM events').num_rows)"]),
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("20", "")


def test_a_statement_without_end_does_not_hold_up_the_sink(store: Path) -> None:
    """It cannot be cancelled; the process ends all the same, with its own exit code, and the store is whole."""
    program = f"""
        import subprocess, sys, time
        from sinks import serve
        from sinks.notice import find
        from sinks.serve import Readers
        from tests.sinks.test_store import filled

        serve.GRACE_SECONDS = 0.1
        asking = '''if True:
            import sys
            from sinks.attach import ServedStore
            from sinks.notice import find
            endless = "SELECT count(*) FROM range(10_000_000) AS a, range(10_000_000) AS b WHERE a.range % 7 > b.range"
            ServedStore.connect(find(sys.argv[1])).reader(endless)
        '''
        with filled({str(store)!r}) as opened:
            readers = Readers(opened.database).start()
            reader = subprocess.Popen([sys.executable, "-c", asking, {str(store)!r}], stderr=subprocess.DEVNULL)
            while not opened.query("FROM quack_active_connections() WHERE state = 'active'").num_rows:
                time.sleep(0.05)
            reader.kill()
            reader.wait()
            readers.stop()
        print("stopped", time.monotonic(), flush=True)
        sys.exit(3)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert time.monotonic() - float(done.stdout.split()[1]) < 10
    with Store.open(store) as again:
        assert again.query("SELECT count(*) AS n FROM events").column("n").to_pylist() == [20]
