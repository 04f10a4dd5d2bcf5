"""Brokers that faults can strike: the embedded one behind a proxy. What each can do is told by its methods."""

from __future__ import annotations

import subprocess
import time

from personas.connection import KafkaConnection
from personas.errors import BrokerError
from simulator.broker import broker_program, dismiss, free_port, guard
from simulator.topic_admin import cluster_id_of
from tests.faults.proxy import TcpProxy


class ProxiedBroker:
    """An embedded broker that clients reach through a proxy alone: it advertises the proxy's address.

    `replace` kills it with SIGKILL and starts another behind the same address, which is empty and has another cluster
    id: that is all that can be had of a broker that keeps everything in memory.
    """

    def __init__(self) -> None:
        self.proxy = TcpProxy()
        self.connection = KafkaConnection(bootstrap_servers=self.proxy.address)
        self._started = 0
        self._start()

    @property
    def pid(self) -> int:
        """Of the broker's process."""
        return self._process.pid

    @property
    def address(self) -> str:
        """Where clients find it."""
        return self.proxy.address

    def replace(self) -> None:
        """Kill it, and return when its successor answers."""
        self._kill()
        self._start()

    def _start(self) -> None:
        port = free_port("127.0.0.1")
        self.proxy.target = ("127.0.0.1", port)
        self._started += 1
        listener, advertised = f"tcp://127.0.0.1:{port}", f"tcp://{self.proxy.address}"
        command = [broker_program(), "broker", "--cluster-id", f"faults-{self.proxy.port}-{self._started}"]
        command += ["--storage-engine", "memory://tansu/", "--silent"]
        command += ["--listener-url", listener, "--advertised-listener-url", advertised]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, stdin=quiet, stdout=quiet, stderr=quiet, env={}, start_new_session=True
        )
        self._guardian = guard(self._process.pid)
        deadline = time.monotonic() + 20
        while True:
            try:
                cluster_id_of(self.connection, timeout=1)
                return
            except BrokerError:
                assert time.monotonic() < deadline and self._process.poll() is None, "the broker does not start"

    def _kill(self) -> None:
        self._process.kill()
        dismiss(self._guardian)
        self._process.wait()

    def __enter__(self) -> ProxiedBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self.proxy.close()
