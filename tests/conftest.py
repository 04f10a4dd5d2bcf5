"""Fixtures that several rooms' tests share: brokers, embedded and Apache Kafka, and topic names of one's own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from simulator.broker import EmbeddedBroker
    from tests.apache_kafka import ApacheKafka
    from tests.nursery import Nursery, Starter
    from tests.postgres import Server

#: Tests with one of these fixtures run in one worker, so that one set of Java machines serves them all. The first of
#: them may have to wait for Maven.
APACHE_KAFKA_FIXTURES = {"apache_kafka", "apache_kafka_cluster"}
#: What makes a run that others look at too, and where it is.
SHARED_RUNS = {"course", "stored", "records_of", "filled_store"}
RUNS = "tests.runs"


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """One broker for the whole test session (one per xdist worker). It forgets nothing: use topics of your own."""
    from simulator.broker import EmbeddedBroker

    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process from which programs are forked that need not be started from nothing (one per xdist worker)."""
    from tests.nursery import Nursery

    with Nursery() as one:
        yield one


@pytest.fixture
def forked(nursery: Nursery, tmp_path: Path) -> Iterator[Starter]:
    """Start `dayone`, or what else has a `main`, with arguments, in the test's folder. Afterwards all are ended."""
    from tests.nursery import Starter

    with Starter(nursery, tmp_path) as starter:
        yield starter


@pytest.fixture
def own_name() -> Callable[[str], str]:
    """Makes names that no other test uses: `own_name("events")` is `events-<8 hex digits>`."""
    return lambda stem: f"{stem}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One Apache Kafka broker for the whole test session, never killed: use topics of your own, or begin with
    `delete_topics()`. It also listens with SASL_SSL, where the user `dayone` has the password `open sesame`, and with
    SSL. Skips where Java or Maven are missing; with CI=true in the environment that is a failure."""
    from tests.apache_kafka import ApacheKafka, ServerTls
    from tests.certificates import Authority

    folder = tmp_path_factory.mktemp("apache-kafka")
    authority = Authority.make(folder / "certificates", "authority")
    tls = ServerTls(authority.sign("broker"), authority)
    longer = {"message.max.bytes": "20000000"}  # tests of the sink write messages that are longer than it takes
    with ApacheKafka(folder / "one", tls=tls, users={"dayone": "open sesame"}, settings=longer) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def apache_kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Three brokers, three replicas, two of which must take a write, for the tests of one module. A test may kill
    brokers, and starts them again before it ends."""
    from tests.apache_kafka import ApacheKafka

    with ApacheKafka(tmp_path_factory.mktemp("apache-kafka") / "three", brokers=3) as kafka:
        yield kafka


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use Apache Kafka: `kafka`, one group for xdist, and time for Maven. Elsewhere the tests of a
    module that share something costly are a group, so that it is made in one worker, not in each."""
    for item in items:
        if APACHE_KAFKA_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)
            item.add_marker(pytest.mark.xdist_group("apache_kafka"))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(400))
        elif item.get_closest_marker("xdist_group") is None and shares(item):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {getattr(item, 'cls', None) or ''}"))


@pytest.hookimpl(trylast=True, specname="pytest_collection_modifyitems")
def pytest_keep_groups_together(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What pytest-xdist 3.8 does to tell its scheduler of groups, for the node ids of pytest 9.2: there its own way has
    no effect, without a word. To be taken out when `test_groups_stay_together` passes without it."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = "_".join(sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")}))
        if groups and not item.nodeid.endswith(f"@{groups}"):
            item._id = type(item.id).parse(f"{item.nodeid}@{groups}")


def shares(item: pytest.Item) -> bool:
    """Whether a test's module has cached functions or runs in it, or the test a fixture that outlives it."""
    module = getattr(item, "module", None)
    kept = {name for name, value in vars(module).items() if value.__class__.__name__ == "_lru_cache_wrapper"
            and value.__module__ == getattr(module, "__name__", "")}  # fmt: skip
    runs = SHARED_RUNS & {name for name, value in vars(module).items() if getattr(value, "__module__", "") == RUNS}
    known = item._fixtureinfo.name2fixturedefs.values()
    return bool(kept or runs) or any(each.scope in {"module", "class"} for found in known for each in found)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the end of the brokers' logs below a test that failed."""
    report = yield
    if report.failed:
        for name in APACHE_KAFKA_FIXTURES & set(getattr(item, "funcargs", {})):
            report.sections.append((f"log of {name}", item.funcargs[name].log_tails()))
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One PostgreSQL server for the whole test session (one per xdist worker): make a database of your own in it."""
    from tests.postgres import server

    with server() as running:
        yield running


@pytest.fixture(scope="session")
def local_llm() -> Iterator[str]:
    """The address of a real, small language model behind the Messages API (one per xdist worker). Skips where it is
    not installed; with CI=true in the environment that is a failure."""
    from personas.errors import TutorError
    from simulator.local_llm.llama import Llama
    from simulator.local_llm.server import MessagesServer

    try:
        llama = Llama(None, slots=2, context=4096, threads=1)
    except TutorError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no local language model: `make model` installs one ({error.message})")
    with MessagesServer(llama.complete, llama.name, slots=2, longest_text=40) as server:
        yield server.url
