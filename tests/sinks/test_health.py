"""The small HTTP server of the daemons, and the sink's metrics."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from personas.errors import PortError
from personas.health import HealthServer
from sinks import batch as b
from sinks.store import Committed
from sinks.telemetry import Telemetry


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_serves_metrics_and_health_on_the_loopback() -> None:
    ready = [False]
    with HealthServer(lambda: b"up 1\n", lambda: ready[0], reason=lambda: "no broker") as server:
        assert server.url.startswith("http://127.0.0.1:") and server.port
        assert get(f"{server.url}/metrics") == (200, "up 1\n")
        assert get(f"{server.url}/health/live") == (200, "live\n")
        assert get(f"{server.url}/health/ready") == (503, "no broker\n")
        ready[0] = True
        assert get(f"{server.url}/health/ready?probe=1") == (200, "ready\n")
        assert get(f"{server.url}/secret")[0] == 404


def test_an_occupied_port_is_said() -> None:
    with HealthServer(lambda: b"", lambda: True) as first, pytest.raises(PortError) as caught:
        HealthServer(lambda: b"", lambda: True, port=first.port).start()
    assert f"127.0.0.1:{first.port}: cannot listen" in str(caught.value)


def test_it_can_be_stopped_twice_and_the_port_used_again() -> None:
    server = HealthServer(lambda: b"", lambda: True).start()
    server.stop()
    server.stop()
    with HealthServer(lambda: b"", lambda: True, port=server.port):
        pass


def test_the_sinks_metrics_have_the_prefix_and_no_personal_labels() -> None:
    telemetry = Telemetry()
    letter = b.DeadLetter("t", 0, 0, b.NOT_JSON, "", None, b"x")
    telemetry.committed(b.Batch({}, (letter,), {}, 6), Committed({"events": 4}, {"events": 1}), 0.2, 4096)
    telemetry.lagging({("dayone.tiny.events", 1): 9})
    text = telemetry.render().decode()
    for line in (
        'dayone_sink_rows_total{table="events"} 4.0',
        'dayone_sink_duplicates_total{table="events"} 1.0',
        'dayone_sink_dead_letters_total{reason="not_json"} 1.0',
        'dayone_sink_dead_letters_total{reason="too_large"} 0.0',
        'dayone_sink_lag_messages{partition="1",topic="dayone.tiny.events"} 9.0',
        "dayone_sink_commit_seconds_sum 0.2",
        "dayone_sink_batch_messages_sum 6.0",
        "dayone_sink_database_size_bytes 4096.0",
    ):
        assert line in text.splitlines()
    assert all(line.startswith(("#", "dayone_sink_")) for line in text.splitlines())
    assert not any(word in text for word in ("user=", "user_id=", "persona=", "run="))
