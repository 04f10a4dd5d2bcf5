"""Brokers that faults can strike: the embedded one and Apache Kafka, each behind a proxy, and a cluster of three."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient

from personas.connection import KafkaConnection
from personas.topics import product_topics
from simulator.broker import broker_program, dismiss, free_port, guard
from simulator.topic_admin import cluster_id_of, provision
from tests.apache_kafka import ApacheKafka, accepts
from tests.faults.proxy import TcpProxy
from tests.integration.program import PACK, until


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

    def replace(self, *, topics: bool = False) -> None:
        """Kill it, and return when its successor answers; with `topics` it has those of the shop at once, so that
        nothing keeps a simulator that has not noticed from going on there."""
        self._kill()
        self._start()
        if topics:
            provision(self.connection, product_topics(PACK))

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
        until(lambda: accepts(port))
        cluster_id_of(self.connection, timeout=60)

    def _kill(self) -> None:
        self._process.kill()
        dismiss(self._guardian)
        self._process.wait()

    def __enter__(self) -> ProxiedBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self.proxy.close()


class KafkaBrokers:
    """Apache Kafka: one broker (behind a proxy, if not told otherwise), or three without. A broker that was killed is
    started again beside the flow of events, on the same directory and ports; the next one is killed when that is
    done."""

    def __init__(self, folder: Path, brokers: int, *, proxied: bool = True) -> None:
        self.proxy = TcpProxy() if brokers == 1 and proxied else None
        settings = {"advertised.listeners": f"PLAINTEXT://{self.proxy.address}"} if self.proxy else {}
        self._kafka = ApacheKafka(folder, brokers, settings=settings)
        self._restart: threading.Thread | None = None
        self._failure: list[BaseException] = []

    @property
    def address(self) -> str:
        """Where clients find it."""
        return self.proxy.address if self.proxy else self._kafka.bootstrap_servers

    @property
    def pids(self) -> list[int]:
        """Of the brokers that run."""
        return [node.process.pid for node in self._kafka.nodes.values() if node.process is not None]

    def kill(self, number: int, pause: float) -> None:
        """SIGKILL to one broker, which is started again after `pause` seconds. Waits for the one before."""
        self.settle()
        self._kafka.kill(number)
        self._restart = threading.Thread(target=self._start_again, args=(number, pause), daemon=True)
        self._restart.start()

    def settle(self) -> None:
        """Return when every broker runs and knows the others."""
        if self._restart is not None:
            self._restart.join()
        self._restart = None
        if self._failure:
            raise self._failure[0]

    def forget_topics(self) -> None:
        """Delete the product's topics, so that the next series begins with none."""
        self.settle()
        admin = AdminClient({"bootstrap.servers": self.address}, logger=_SILENT)
        deadline = time.monotonic() + 90
        while topics := [name for name in admin.list_topics(timeout=60).topics if name.startswith("dayone.")]:
            for future in admin.delete_topics(topics).values():
                future.exception()  # gone already, or asked again in a moment
            assert time.monotonic() < deadline, f"these topics stay: {topics}"
            time.sleep(0.1)

    def _start_again(self, number: int, pause: float) -> None:
        try:
            time.sleep(pause)
            self._kafka.restart(number)
        except BaseException as error:  # noqa: BLE001 - raised by `settle`
            self._failure.append(error)

    def __enter__(self) -> KafkaBrokers:
        self._kafka.start()
        if self.proxy is not None:
            self.proxy.target = ("127.0.0.1", self._kafka.nodes[1].ports["PLAINTEXT"])
        return self

    def __exit__(self, *_: object) -> None:
        if self._restart is not None:
            self._restart.join()
        self._kafka.stop()
        if self.proxy is not None:
            self.proxy.close()


_SILENT = logging.getLogger("tests.faults")
_SILENT.addFilter(lambda record: False)
