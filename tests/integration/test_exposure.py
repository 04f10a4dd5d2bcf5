"""What Dayone opens to the world: loopback alone unless told otherwise, and files only beside its store and in /tmp."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import simulator.settings
import sinks.settings
from personas.health import HealthServer
from personas.topics import RUNS, product_topics
from simulator.broker import EmbeddedBroker
from simulator.topic_admin import provision
from tests.contracts.sink_on_kafka import produce
from tests.integration.program import ROOT, until
from tests.nursery import Starter
from tests.sinks.making import EVENTS, PRODUCT, events, manifest

LOOPBACK = {"127.0.0.1", "::1"}


def listening(process: psutil.Process) -> set[str]:
    """The addresses at which a process and all that it started accept connections."""
    found: set[str] = set()
    for each in [process, *process.children(recursive=True)]:
        try:
            sockets = each.net_connections("inet")
        except psutil.Error:  # gone in the meantime
            continue
        found |= {f"{one.laddr.ip}:{one.laddr.port}" for one in sockets if one.status == psutil.CONN_LISTEN}
    return found


def hosts(addresses: set[str]) -> set[str]:
    return {address.rpartition(":")[0] for address in addresses}


@pytest.mark.kafka
def test_broker_simulator_sink_and_readers_listen_on_loopback(dayone: Starter, tmp_path: Path) -> None:
    program = dayone("up", "shop", "--users", 30, "--days", 1, "--live", "--store", tmp_path / "a.duckdb")
    process = psutil.Process(program.process.pid)
    found: set[str] = set()

    def all_are_there() -> bool:
        found.update(listening(process))
        return len(found) >= 4  # the broker, the metrics of both daemons, and the sink's readers

    until(all_are_there, program, timeout=60)
    assert hosts(found) <= LOOPBACK, found


def test_every_setting_for_an_address_is_loopback_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DAYONE_")]:
        monkeypatch.delenv(name)
    told = {}
    for room in (simulator.settings, sinks.settings):
        settings = room.load_settings()
        told |= {name: value for name, value in settings.model_dump().items() if name.endswith("_host")}
    assert {"metrics_host"} <= set(told)
    assert set(told.values()) <= LOOPBACK


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_metrics_are_where_they_are_told_to_be(host: str) -> None:
    with HealthServer(lambda: b"", lambda: True, host=host) as server:
        assert f"{host}:{server.port}" in listening(psutil.Process())


AUDITED = """
import os, sys
opened = os.open("{log}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        flags = arguments[2] or 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            os.write(opened, (os.path.abspath(arguments[0]) + chr(10)).encode())
    elif event in ("os.mkdir", "os.rename", "shutil.move"):
        os.write(opened, (os.path.abspath(str(arguments[0])) + chr(10)).encode())
sys.addaudithook(hook)
sys.dont_write_bytecode = True
from tests.sinks.tiny_program import main
main()
"""


@pytest.mark.kafka
def test_a_sink_writes_beside_its_store_and_nowhere_else(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """So that its container's root file system can be read-only. DuckDB opens files by itself: they are looked for."""
    data, home, log = tmp_path / "data", tmp_path / "home", tmp_path / "opened"
    data.mkdir(), home.mkdir()
    provision(broker.connection, product_topics(PRODUCT, 1))
    produce(broker, EVENTS, [*events(500), (b"k", b"not json")])
    produce(broker, RUNS, [manifest()])
    environment = {**os.environ, "HOME": str(home), "DAYONE_SINK_METRICS_PORT": "0", "TMPDIR": "/tmp"}
    done = subprocess.run(
        [sys.executable, "-c", AUDITED.format(log=log), "sink", PRODUCT, "--store", str(data / "a.duckdb"),
         "--bootstrap-servers", broker.bootstrap_servers, "--until-completed"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = {path for path in log.read_text().splitlines() if not path.startswith(("/dev/", str(data), str(log)))}
    assert {path for path in written if not path.startswith("/tmp/")} == set()
    assert list(home.iterdir()) == []
    assert "a.duckdb" in {file.name for file in data.iterdir()}
