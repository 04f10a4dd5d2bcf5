"""A build is whole or not there, gives the same bytes everywhere, and works on a store that others write."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from personas.errors import LockedStoreError, StoreError, TrainingError
from sinks.place import place_of
from sinks.serve import Readers
from sinks.store import MEMORY, Store
from sinks.training import load, read, selection, writing
from sinks.training.build import Order, build
from sinks.training.opening import opened_at_one_moment
from sinks.training.registry import all_forms, form_of, task_of
from tests.contracts.form import files_of
from tests.runs import filled_store, pack_of, records_of, store_records

TASK = task_of("next_event")
ORDER = Order(TASK, TASK.options())


def a_store() -> Store:
    return filled_store("shop", users=400, days=16)


def in_a_file(path: Path) -> Path:
    with Store.open(path) as store:
        store_records(store, pack_of("shop"), list(records_of("shop", users=60, days=5)))
    return path


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


def test_threads_and_memory_do_not_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "EVENTS_PER_SHARD", 4000)
    monkeypatch.setattr(writing, "ROW_GROUP", 1000)
    found = []
    with a_store() as store:
        for threads, memory in ((1, "1GB"), (2, "3GB"), (3, "300MB")):
            store.query(f"SET threads = {threads}")
            store.query(f"SET memory_limit = '{memory}'")
            found.append(files_of(build(store, ORDER, tmp_path / str(threads)).directory))
    assert len(found[0]) > 4, "several shards"
    assert found[0] == found[1] == found[2]


def test_every_form_is_built_and_read_back(tmp_path: Path) -> None:
    with a_store() as store:
        first = build(store, ORDER, tmp_path)
        for form in all_forms().values():
            if form.suffix and not form.objection(TASK.columns(TASK.options())) and form.name != "parquet":
                built = build(store, Order(TASK, TASK.options(), form=form), tmp_path)
                assert built.rows == first.rows
                assert read(built.directory) == read(first.directory)
                suffixes = {path.suffix for path in (built.directory / "data").iterdir()}
                assert suffixes == {form.suffix}, "nothing else is left there"


def test_what_is_loaded_is_what_is_built(tmp_path: Path) -> None:
    place = in_a_file(tmp_path / "a.duckdb")
    with Store.open(place, read_only=True) as store:
        built = build(store, ORDER, tmp_path)
    assert load("next_event", place) == read(built.directory)


def test_a_form_that_cannot_hold_the_rows_is_refused_at_once(tmp_path: Path) -> None:
    with a_store() as store, pytest.raises(TrainingError, match="cannot be written as libsvm: the feature history"):
        build(store, Order(TASK, TASK.options(), form=form_of("libsvm")), tmp_path)
    assert left_in(tmp_path) == []


def test_a_version_is_built_once(tmp_path: Path) -> None:
    with a_store() as store:
        built = build(store, ORDER, tmp_path)
        before = files_of(built.directory)
        with pytest.raises(TrainingError, match="exists already"):
            build(store, ORDER, tmp_path)
    assert files_of(tmp_path) == {f"next_event/{built.recipe.version}/{name}": data for name, data in before.items()}


def test_of_two_that_build_the_same_the_slower_is_told(tmp_path: Path) -> None:
    with a_store() as one, a_store() as two:
        faster: list[Path] = []

        def meanwhile(done: int, of: int, rows: int) -> None:
            if not faster:
                faster.append(build(two, ORDER, tmp_path).directory)

        with pytest.raises(TrainingError, match="exists already"):
            build(one, ORDER, tmp_path, meanwhile)
    assert list((tmp_path / "next_event").iterdir()) == faster


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError])
def test_what_ends_a_build_leaves_nothing(ending: type[BaseException], tmp_path: Path) -> None:
    def end(done: int, of: int, rows: int) -> None:
        assert left_in(tmp_path), "something was there"
        raise ending

    with a_store() as store, pytest.raises(ending):
        build(store, ORDER, tmp_path, end)
    assert left_in(tmp_path) == ["next_event"]


def test_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    with a_store() as store:
        with pytest.raises(TrainingError, match=r"nothing can be written there \(Not a directory\)"):
            build(store, ORDER, tmp_path / "file")

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(TrainingError, match=r"nothing can be written there \(Permission denied\)"):
            build(store, ORDER, tmp_path / "out")


def test_a_store_without_events(tmp_path: Path) -> None:
    with Store.open(MEMORY) as store, pytest.raises(TrainingError, match=r"no events(.|\n)*dayone up"):
        build(store, ORDER, tmp_path)
    assert left_in(tmp_path) == []


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


BUILD = """
    import signal, sys
    from pathlib import Path
    from sinks.store import Store
    from sinks.training.build import build
    from tests.sinks.training.test_build import ORDER
    def wait(done, of, rows):
        print("half", flush=True)
        signal.pause()
    with Store.open(sys.argv[1], read_only=True) as store:
        build(store, ORDER, Path(sys.argv[2]), wait)
"""


def test_a_killed_build_publishes_nothing_and_the_next_one_clears_up(tmp_path: Path) -> None:
    place, out = in_a_file(tmp_path / "a.duckdb"), tmp_path / "out"
    builders = [python(BUILD, str(place), str(out)) for _ in range(2)]
    for builder in builders:
        assert builder.stdout is not None and builder.stdout.readline() == "half\n"
    assert len(list(out.glob("next_event/.*.partial"))) == 2
    builders[0].kill()
    builders[0].communicate()
    with Store.open(place, read_only=True) as store:
        version = build(store, ORDER, out).directory
    hidden = [path for path in (out / "next_event").iterdir() if path != version]
    assert len(hidden) == 1, "the one that is at work stays, the one of the killed build is gone"
    builders[1].send_signal(signal.SIGINT)
    builders[1].communicate()
    assert list((out / "next_event").iterdir()) == [version]


def test_a_full_disk_publishes_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: both fail the write in the same place."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from personas.errors import TrainingError
        from sinks.store import Store
        from sinks.training.build import Order, build
        from sinks.training.registry import form_of
        from tests.sinks.training.test_build import ORDER, TASK
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Store.open(sys.argv[1], read_only=True) as store:
            for form, limit in (("parquet", 4_000), ("jsonl", 100_000)):
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    build(store, Order(TASK, TASK.options(), form=form_of(form)), Path(sys.argv[2]))
                except TrainingError as error:
                    print(form, error, flush=True)
        """
    told, errors = python(script, str(in_a_file(tmp_path / "a.duckdb")), str(tmp_path / "out")).communicate(timeout=60)
    assert told.count("the disk is full; nothing was published") == 2, told + errors
    assert left_in(tmp_path / "out") == ["next_event"]


@pytest.fixture
def moments(tmp_path: Path) -> Callable[[Store], None]:
    def add(store: Store) -> None:
        store_records(store, pack_of("shop"), list(records_of("shop", users=90, days=5)), first_offset=1_000_000)

    return add


def test_a_store_that_a_sink_writes_is_read_as_it_was_at_one_moment(
    tmp_path: Path, moments: Callable[[Store], None]
) -> None:
    place = in_a_file(tmp_path / "a.duckdb")
    with Store.open(place, read_only=True) as store:
        alone = build(store, ORDER, tmp_path / "alone")
    with Store.open(place) as sink, Readers(sink.database):
        with opened_at_one_moment(place_of(place), memory_limit="1GB") as store:
            moments(sink)
            built = build(store, ORDER, tmp_path / "beside")
        copied = Path(store.database.path).parent
        with opened_at_one_moment(place_of(place), memory_limit="1GB") as store:
            assert store.query("SELECT DISTINCT run_id FROM events").num_rows == 2, "what came since is there now"
    assert files_of(built.directory) == files_of(alone.directory)
    assert built.recipe == alone.recipe
    assert copied.name.startswith("dayone-snapshot-") and not copied.exists()


def test_a_store_that_a_process_locks_without_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.attach.PATIENCE_SECONDS", 0.0)
    place = in_a_file(tmp_path / "a.duckdb")
    script = """
        import sys
        from sinks.store import Store
        with Store.open(sys.argv[1]):
            print("open", flush=True)
            sys.stdin.read()
        """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(place)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        with pytest.raises(LockedStoreError, match=r"another process has the database open(.|\n)*--no-serve"):
            load("next_event", place)
    finally:
        holder.communicate("")


def test_a_lake_is_read_as_it_was_at_one_moment(tmp_path: Path, moments: Callable[[Store], None]) -> None:
    place = place_of(f"ducklake:sqlite:{tmp_path / 'lake.sqlite'}")
    with Store.open(place) as sink:
        store_records(sink, pack_of("shop"), list(records_of("shop", users=60, days=5)))
        with opened_at_one_moment(place, memory_limit="1GB") as store:
            moments(sink)
            built = build(store, ORDER, tmp_path / "beside")
    with Store.open(in_a_file(tmp_path / "a.duckdb"), read_only=True) as store:
        alone = build(store, ORDER, tmp_path / "alone")
    assert built.rows == alone.rows
    assert read(built.directory) == read(alone.directory)


def test_only_a_lake_remembers(tmp_path: Path) -> None:
    place = place_of(in_a_file(tmp_path / "a.duckdb"))
    opening = opened_at_one_moment(place, memory_limit="1GB", at="1")
    with pytest.raises(StoreError, match="only a lake remembers"), opening:
        pass
