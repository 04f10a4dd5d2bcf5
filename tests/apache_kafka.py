"""Apache Kafka on this machine for tests: one broker, or a cluster whose brokers can be killed and started again.

    with ApacheKafka(folder, brokers=3) as kafka:
        kafka.connection            # a KafkaConnection to all brokers
        kafka.kill(2)               # SIGKILL
        kafka.restart(2)            # the same directory, the same ports
        kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", ...)

Every broker is its own controller too (KRaft, combined roles). Topics are never created by themselves; with three
brokers they have three replicas of which two must take a write. With `tls` there are two more listeners: SASL_SSL,
where `users` log in by SCRAM-SHA-512, and SSL, where a client shows a certificate. Nothing survives the tests: a
guardian kills a broker whose tests were killed.

Ports lie below those that systems give to outgoing connections, so that nobody takes a dead broker's port meanwhile.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import secrets
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from personas.connection import KafkaConnection
from simulator.broker import dismiss, guard
from tests.certificates import Authority
from tests.kafka_classes import shared_classes
from tests.kafka_jars import class_path_or_skip

#: Starts quickly, stays small.
JAVA = ("java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
#: What a test cannot wait for or has no memory for is smaller than by default; what is promised is not touched.
COMMON = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "num.io.threads": "4",
    "num.network.threads": "2",
    "background.threads": "4",
    # A dead broker is noticed after three seconds, not nine.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
}
_PORTS = range(20_000, 32_000)
_SILENT = logging.getLogger("tests.apache_kafka")
_SILENT.addFilter(lambda record: False)


@dataclass(frozen=True)
class ServerTls:
    """The broker's key and certificate in one PEM file, and the authority that signs those of clients."""

    identity: Path
    authority: Authority


@dataclass
class Node:
    """One broker: where it lives, and its process while there is one."""

    number: int
    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None
    guardian: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it wrote since it was first started."""
        return self.folder / "kafka.log"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None


@dataclass
class ApacheKafka:
    """One broker or several, as a context manager; brokers are numbered from 1. See the module's text.

    `users` are names and passwords for SCRAM, `settings` go into every server.properties and win. `folder` holds
    everything. Starting skips the test where Java or Maven are missing (see `tests.kafka_jars`), and fails with the
    broker's log when it does not answer within `timeout` seconds. `java` are options in place of those that have it
    share classes (see `tests.kafka_classes`).
    """

    folder: Path
    brokers: int = 1
    tls: ServerTls | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 90.0
    java: tuple[str, ...] = ()
    nodes: dict[int, Node] = field(default_factory=dict)
    _class_path: str = ""

    def __enter__(self) -> ApacheKafka:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """The plain listener of every broker, `host:port` with commas between."""
        return self.servers("PLAINTEXT")

    @property
    def connection(self) -> KafkaConnection:
        """How Dayone reaches the plain listeners."""
        return KafkaConnection(bootstrap_servers=self.bootstrap_servers)

    def servers(self, listener: str) -> str:
        """The addresses of one listener on every broker: PLAINTEXT, and with `tls` SASL_SSL and SSL."""
        return ",".join(f"127.0.0.1:{node.ports[listener]}" for node in self.nodes.values())

    def start(self) -> ApacheKafka:
        """Format the directories, start every broker, and return when all know each other."""
        self._class_path = class_path_or_skip()
        self.java = self.java or shared_classes()
        listeners = ["PLAINTEXT", "CONTROLLER", *(["SASL_SSL", "SSL"] if self.tls else [])]
        ports = free_ports(self.brokers * len(listeners))
        for number in range(1, self.brokers + 1):
            own = {listener: ports.pop() for listener in listeners}
            self.nodes[number] = Node(number, self.folder / f"broker-{number}", own)
        try:
            self._format()
            for node in self.nodes.values():
                self._launch(node)
            self._await_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill every broker: nothing of them is needed any more. Repeating it does nothing."""
        for number, node in self.nodes.items():
            if node.process is not None:
                self.kill(number)

    def kill(self, number: int) -> None:
        """SIGKILL to one broker; returns when it is gone."""
        node = self.nodes[number]
        assert node.process is not None, f"broker {number} does not run"
        node.process.kill()
        if node.guardian is not None:
            dismiss(node.guardian)
        node.process.wait()
        node.process = node.guardian = None

    def restart(self, number: int) -> None:
        """Start a broker that was killed, on its directory and ports; returns when the whole cluster answers."""
        node = self.nodes[number]
        assert not node.alive, f"broker {number} runs"
        self._launch(node)
        self._await_answer()

    def delete_topics(self) -> None:
        """Delete every topic that is not Kafka's own; the next test may make others of the same names."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers}, logger=_SILENT)
        names = [name for name in admin.list_topics(timeout=60).topics if not name.startswith("__")]
        for answer in admin.delete_topics(names).values() if names else ():
            answer.result(10)

    def tool(
        self, name: str, *arguments: object, check: bool = True, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Kafka's own programs by its class name to its end; with `check` it has to succeed."""
        done = subprocess.run(
            self.tool_command(name, *arguments), capture_output=True, text=True, timeout=timeout, check=False
        )
        told = done.stdout[-2000:] + done.stderr[-2000:]
        assert not check or done.returncode == 0, f"{name} ended with {done.returncode}:\n{told}"
        return done

    def tool_command(self, name: str, *arguments: object) -> list[str]:
        """The command that starts such a program, for those who want to watch or end it themselves."""
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
        return [*JAVA, *self.java, quiet, "-cp", self._class_path, name, *map(str, arguments)]

    def log_tails(self, characters: int = 3000) -> str:
        """The end of every broker's log, for those who read why a test failed."""
        return "\n".join(f"--- broker {node.number}\n{tail_of(node.log, characters)}" for node in self.nodes.values())

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        users = [
            word
            for name, password in self.users.items()
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password},iterations=4096]")
        ]
        running = []
        for node in self.nodes.values():
            node.folder.mkdir(parents=True)
            properties = node.folder / "server.properties"
            properties.write_text("".join(f"{k}={v}\n" for k, v in self._properties(node).items()), "utf-8")
            arguments = ("format", f"--cluster-id={cluster}", "--config", properties, *users)
            command = self.tool_command("kafka.tools.StorageTool", *arguments)
            with node.log.open("wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        codes = [process.wait(self.timeout) for process in running]
        assert not any(codes), f"Kafka's directories could not be formatted:\n{self.log_tails()}"

    def _properties(self, node: Node) -> dict[str, str]:
        copies, needed = min(3, self.brokers), min(2, self.brokers)
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in node.ports.items())
        values = {
            **COMMON,
            "node.id": str(node.number),
            "controller.quorum.voters": ",".join(
                f"{each.number}@127.0.0.1:{each.ports['CONTROLLER']}" for each in self.nodes.values()
            ),
            "listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
            "log.dirs": str(node.folder / "data"),
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(needed),
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(needed),
            "share.coordinator.state.topic.replication.factor": str(copies),
            "share.coordinator.state.topic.min.isr": str(needed),
        }
        if self.tls is not None:
            values |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(self.tls.identity),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(self.tls.authority.file),
                "listener.name.ssl.ssl.client.auth": "required",
            }
            jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            values["listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config"] = jaas
        return values | dict(self.settings)

    def _launch(self, node: Node) -> None:
        quiet = "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn"
        properties = str(node.folder / "server.properties")
        command = [*JAVA, *self.java, quiet, "-cp", self._class_path, "kafka.Kafka", properties]
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(
                command, cwd=node.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        node.guardian = guard(node.process.pid)

    def _await_answer(self) -> None:
        """Until every broker that runs answers and knows all the others that run."""
        deadline = time.monotonic() + self.timeout
        running = [node for node in self.nodes.values() if node.process is not None]
        for node in running:
            address = f"127.0.0.1:{node.ports['PLAINTEXT']}"
            while not (accepts(node.ports["PLAINTEXT"]) and len(known_brokers(address)) == len(running)):
                assert node.alive, f"broker {node.number} of Apache Kafka ended:\n{self.log_tails()}"
                assert time.monotonic() < deadline, f"Apache Kafka did not answer in time:\n{self.log_tails()}"
                time.sleep(0.05)


def known_brokers(address: str) -> set[int]:
    """The numbers of the brokers that the one at `address` knows to be alive; none while it does not answer."""
    admin = AdminClient({"bootstrap.servers": address, "socket.timeout.ms": 2000}, logger=_SILENT)
    with contextlib.suppress(KafkaException):
        return set(admin.list_topics(timeout=2).brokers)
    return set()


def accepts(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_ports(count: int) -> list[int]:
    """That many ports on loopback, all different, on which nobody listens now."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = secrets.choice(_PORTS)
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        return found


def tail_of(file: Path, characters: int) -> str:
    """The end of a text file that may be long or absent."""
    if not file.exists():
        return "(no log)"
    with file.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - characters))
        return log.read().decode(errors="replace")
