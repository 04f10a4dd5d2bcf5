"""A small dose of the fault suite, and proof that its judge and its proxy can say no. `make faults` is the whole.

Here every moment of a sink's batch is struck once, and brokers of both kinds die: the embedded one in `make test`, the
rest in `make thorough`. The seed is fixed: what fails here
can be looked at with `python -m tests.faults`.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from personas.pack import load_pack
from tests.faults import scenes
from tests.faults.brokers import KafkaBrokers
from tests.faults.chance import Chance
from tests.faults.proxy import TcpProxy
from tests.faults.scenes import Ground, Outcome
from tests.faults.soak import PACK, Memory, stayers, watch
from tests.faults.stage import StageError
from tests.faults.truth import RunSize, Truth, judge
from tests.faults.truth import play as truth_of
from tests.faults.victim import SINK_MOMENTS
from tests.nursery import Nursery

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("apache_kafka"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """An undisturbed run of some 24,000 events."""
    return truth_of(RunSize(600, 20, 7), tmp_path_factory.mktemp("truth") / "truth.duckdb")


@pytest.fixture
def ground(nursery: Nursery, truth: Truth, tmp_path: Path) -> Ground:
    return Ground(nursery, tmp_path, truth, Chance(7))


def with_kills(ground: Ground, sink: int, simulator: int) -> Ground:
    return Ground(ground.nursery, ground.folder, ground.truth, ground.chance, sink, simulator)


def struck_and_exact(outcome: Outcome, at_least: int) -> None:
    assert outcome.good, outcome.result
    assert outcome.struck.total() >= at_least, outcome.struck


@pytest.mark.thorough
def test_killed_at_every_moment_of_a_batch(ground: Ground) -> None:
    outcome = scenes.embedded_processes(with_kills(ground, len(SINK_MOMENTS), 1), "processes")
    struck_and_exact(outcome, len(SINK_MOMENTS))
    assert {f"sink: {words}" for words in SINK_MOMENTS.values()} <= set(outcome.struck)


def test_an_embedded_broker_that_dies_is_noticed_and_the_run_repeated(ground: Ground) -> None:
    outcome = scenes.embedded_broker(with_kills(ground, 1, 0), "broker", 2)
    struck_and_exact(outcome, 2)
    assert outcome.noticed == 2, "the simulator says so, and ends"


@pytest.mark.thorough
def test_apache_kafka_killed_and_started_again(ground: Ground) -> None:
    with KafkaBrokers(ground.folder / "brokers", 1) as kafka:
        outcome = scenes.kafka_brokers(with_kills(ground, 1, 1), "one broker", kafka, [1])
    struck_and_exact(outcome, 2)
    assert outcome.noticed == 0, "a broker that comes back is waited for"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM events WHERE event_id = (SELECT min(event_id) FROM events)", "1 events lost"),
        ("INSERT INTO users SELECT * FROM users LIMIT 1", "1 users too many"),
        ("UPDATE labels SET persona = 'nobody' WHERE label_id = (SELECT min(label_id) FROM labels)", "1 labels lost"),
        ("UPDATE events SET topic_offset = -topic_offset", "out of order"),
    ],
)
def test_the_judge_sees(statement: str, words: str, truth: Truth, tmp_path: Path) -> None:
    import duckdb

    store = tmp_path / "run.duckdb"
    shutil.copy(truth.path, store)
    assert judge(store, truth).good
    with duckdb.connect(str(store)) as connection:
        connection.execute(statement)
    verdict = judge(store, truth)
    assert not verdict.good and words in str(verdict)


def test_memory_that_grows_is_not_flat() -> None:
    seconds = [float(n) for n in range(100)]
    assert Memory("m", seconds, [10**8 + n % 3 * 10**6 for n in range(100)]).flat
    assert Memory("m", seconds, [min(n, 50) * 10**6 for n in range(100)]).flat, "a cache that has filled"
    assert not Memory("m", seconds, [10**8 + n * 10**6 for n in range(100)]).flat


def test_chance_is_of_the_seed_and_the_words() -> None:
    assert Chance(7).uniform("a", 1) == Chance(7).uniform("a", 1) != Chance(8).uniform("a", 1)
    assert sorted({Chance(7).between(1, 3, n) for n in range(50)}) == [1, 2, 3]
    assert sorted(Chance(7).shuffled("abc", "x")) == ["a", "b", "c"]


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server on loopback that sends back what it gets."""

    def serve() -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=reply, args=(end,), daemon=True).start()

    def reply(end: socket.socket) -> None:
        with end:
            try:
                while data := end.recv(1000):
                    end.sendall(data)
            except OSError:
                return

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def at_end(client: socket.socket) -> bool:
    """Whether the connection is over, by a goodbye or a reset."""
    try:
        return client.recv(10) == b""
    except ConnectionError:
        return True


def closed(port: int) -> bool:
    """Whether a new connection is refused, or reset at once."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            return at_end(client)
    except ConnectionError:
        return True


def test_a_process_that_ends_before_its_soak_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as brief:
        brief.wait()
    with pytest.raises(StageError, match="the simulator ended after 0 of the 60 s of the soak"):
        watch({"simulator": brief.pid}, 60)


def test_the_proxy_passes_stalls_and_severs(echo: tuple[str, int]) -> None:
    with TcpProxy(echo) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
            client.sendall(b"one")
            assert client.recv(10) == b"one"
            proxy.stall()
            client.sendall(b"two")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(10)
            proxy.restore()
            client.settimeout(5)
            assert client.recv(10) == b"two", "late, but whole"
            proxy.sever()
            assert at_end(client), "and those who were, are out"
        assert closed(proxy.port), "nobody gets through"
        proxy.restore()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
            client.sendall(b"four")
            assert client.recv(10) == b"four"


def test_the_users_of_a_soak_stay(tmp_path: Path) -> None:
    """Its pack is the shop's in all but the churn of its personas."""
    shop, pack = load_pack(PACK), load_pack(stayers(tmp_path))
    assert any(persona.churn for persona in shop.personas)
    assert pack.personas == tuple(persona.model_copy(update={"churn": 0.0}) for persona in shop.personas)
    assert pack.product == shop.product
