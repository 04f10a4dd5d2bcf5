"""A client that is not ours reads the topics of a running `dayone up --live`.

kcat 1.7.1 of Debian 12 comes with librdkafka 2.0.2, which misreads the tagged fields that the embedded broker puts
at the end of its list of API versions. It is told not to ask for the list then, and to read from offset 0, since the
question for the first offset has no answer in that dialect. Newer builds need none of this, Apache Kafka neither.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

from personas import event as contract
from personas.topics import data_topics
from tests.integration.program import free_port, sent, until
from tests.nursery import Starter

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.kcat,
    pytest.mark.skipif(shutil.which("kcat") is None, reason="the program kcat is not installed (apt-get install kcat)"),
]
SEPARATOR = "\x1f"
OLD_DIALECT = ("-X", "api.version.request=false", "-X", "broker.version.fallback=0.9.0.1")


def kcat(*arguments: object) -> str:
    """The output of kcat, which has to succeed."""
    done = subprocess.run(["kcat", *map(str, arguments)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dialect(servers: str) -> tuple[str, ...]:
    """What this kcat has to be told to understand the broker: nothing, or OLD_DIALECT."""
    command = ["kcat", "-b", servers, "-L", "-m", "1"]
    return () if subprocess.run(command, capture_output=True, timeout=30).returncode == 0 else OLD_DIALECT


def test_kcat_reads_every_topic_of_a_live_run(dayone: Starter, tmp_path: Path) -> None:
    port, metrics_port = free_port(), free_port()
    program = dayone(
        "up", "shop", "--users", 100, "--days", 5, "--live", "--speed", 3600, "--port", port,
        "--store", tmp_path / "live.duckdb", "--metrics-port", metrics_port, env={"DAYONE_SINK_METRICS_PORT": "0"},
    )  # fmt: skip
    until(lambda: sent(metrics_port) > 0, program)
    servers = f"127.0.0.1:{port}"
    server = (*dialect(servers), "-b", servers)
    listed = kcat(*server, "-L", "-J")
    names = {topic["topic"] for topic in json.loads(listed)["topics"]}
    assert set(data_topics("shop")) <= names

    for topic in data_topics("shop"):
        layout = SEPARATOR.join(("%k", "%h", "%s")) + "\n"
        lines = kcat(*server, "-t", topic, "-C", "-o", "0", "-e", "-q", "-f", layout).splitlines()
        assert lines, topic
        for line in lines:
            key, headers, value = line.split(SEPARATOR)
            envelope = msgspec.json.decode(value, type=contract.Envelope)
            assert (envelope.specversion, envelope.synthetic, envelope.generator) == ("1.0", True, "prior")
            assert headers == f"content-type={contract.CONTENT_TYPE}"
            assert key.split("/")[0] == envelope.subject
            if envelope.type != contract.RUN:
                assert envelope.subject.startswith("u") and envelope.source == "/dayone/shop"

    program.signal(signal.SIGINT)
    assert program.wait() == 130, program.err
