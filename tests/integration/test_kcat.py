"""A client that is not ours reads the topics of a running `dayone up --live`.

kcat 1.7.1 of Debian 12 comes with librdkafka 2.0.2, which misreads the tagged fields that the embedded broker puts
at the end of its list of API versions (0.9.0.1 below: do not ask for the list), and an early answer about offsets
(hence offset 0, not "beginning"). Apache Kafka and newer builds need neither.
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
from tests.integration.program import Starter, free_port, sent, until

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.kcat,
    pytest.mark.skipif(shutil.which("kcat") is None, reason="the program kcat is not installed (apt-get install kcat)"),
]
SEPARATOR = "\x1f"
EMBEDDED = ("-X", "api.version.request=false", "-X", "broker.version.fallback=0.9.0.1")


def kcat(*arguments: object) -> str:
    """The output of kcat, which has to succeed."""
    command = ["kcat", *EMBEDDED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kcat_reads_every_topic_of_a_live_run(dayone: Starter, tmp_path: Path) -> None:
    port, metrics_port = free_port(), free_port()
    program = dayone(
        "up", "shop", "--users", 100, "--days", 5, "--live", "--speed", 3600, "--port", port,
        "--store", tmp_path / "live.duckdb", "--metrics-port", metrics_port, env={"DAYONE_SINK_METRICS_PORT": "0"},
    )  # fmt: skip
    until(lambda: sent(metrics_port) > 0, program)
    servers = f"127.0.0.1:{port}"
    listed = kcat("-b", servers, "-L", "-J")
    names = {topic["topic"] for topic in json.loads(listed)["topics"]}
    assert set(data_topics("shop")) <= names

    for topic in data_topics("shop"):
        layout = SEPARATOR.join(("%k", "%h", "%s")) + "\n"
        lines = kcat("-b", servers, "-t", topic, "-C", "-o", "0", "-e", "-q", "-f", layout).splitlines()
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
