"""`dayone dlq` from end to end: a sink refuses messages of a broker, people list, show, mend and replay them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from personas.topics import RUNS, dead_letter_topic, product_topics
from simulator.broker import EmbeddedBroker, free_port
from simulator.topic_admin import provision
from sinks.batch import DeadLetter
from sinks.cli import app
from sinks.dead_letters import judge
from sinks.dead_letters.judge import Judge
from sinks.dead_letters.letter import Letter, Place
from sinks.dead_letters.replay import choose
from sinks.dead_letters.topics import Mailbox, Outbox
from sinks.store import Store
from tests.contracts.sink_on_kafka import finish, line_with, start
from tests.nursery import Nursery, Starter
from tests.sinks.making import EVENTS, PRODUCT, events, manifest, session_events, tiny_pack

HUGE = b'{"x":"' + b"y" * 1_200_000 + b'"}'
GOOD = session_events(9)[1]
#: An event whose price is missing; `GOOD` is the same, mended.
WRONG = GOOD[1].replace(b'"price":9.5,', b"")
OWN = (("trace", b"\xff\x00"), ("trace", b"2"))


@pytest.fixture(autouse=True)
def pack(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up pack under any name."""
    monkeypatch.setattr(judge, "load_pack", lambda name: tiny_pack())


@dataclass
class Scene:
    """A broker whose topics have good messages and four that a sink refused, and the sink's database."""

    broker: EmbeddedBroker
    store: Path
    forked: Starter

    def dlq(self, *arguments: str, code: int = 0, on_kafka: bool = False, stdin: str | None = None) -> str:
        where = (
            ["--bootstrap-servers", self.broker.bootstrap_servers] if on_kafka else ["--store", str(self.store)]
        )  # fmt: skip
        result = CliRunner().invoke(app, ["dlq", *arguments, *where], input=stdin)
        assert result.exit_code == code, result.output
        return result.output

    def replay(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        pack = ["--pack", PRODUCT, "--bootstrap-servers", self.broker.bootstrap_servers]
        result = CliRunner().invoke(app, ["dlq", "replay", *arguments, *pack, "--json"])
        assert result.exit_code == code, result.output
        return dict(json.loads(result.stdout)) if code == 0 else {"said": result.stderr}

    def sink(self) -> list[dict[str, Any]]:
        """Run the sink to the end of the topics; the mended event, as often as it is stored."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap_servers})
        producer.produce(RUNS, manifest()[1], manifest()[0])
        assert producer.flush(20) == 0
        code, errors = finish(start(self.forked, self.broker, self.store, "--until-completed"))
        assert code == 0, errors
        with Store.open(self.store, read_only=True) as store:
            return list(store.query(f"FROM events WHERE event_id = '{GOOD_ID}'").to_pylist())


GOOD_ID = json.loads(GOOD[1])["id"]


@pytest.fixture(scope="module")
def ready(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("dlq")
    with EmbeddedBroker() as broker, Starter(nursery, folder) as forked:
        provision(broker.connection, product_topics(PRODUCT, 1))
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "message.max.bytes": 20_000_000})
        for key, value in events(20):
            producer.produce(EVENTS, value, key)
        for value in (b"not json", WRONG, None, HUGE):
            producer.produce(EVENTS, value, GOOD[0], headers=list(OWN))
        assert producer.flush(20) == 0
        place = Scene(broker, folder / "a.duckdb", forked)
        assert place.sink() == []
        yield place


def name(offset: int) -> str:
    return f"{EVENTS}/0/{offset}"


@pytest.mark.kafka
@pytest.mark.xdist_group("dlq")
class TestOnABroker:
    """In this order: what is replayed changes what is there."""

    @pytest.mark.parametrize("on_kafka", [False, True], ids=["database", "topics"])
    def test_letters_are_counted_alike_from_database_and_topics(self, ready: Scene, on_kafka: bool) -> None:
        groups = json.loads(ready.dlq("list", "--json", on_kafka=on_kafka))
        assert [(group["topic"], group["reason"], group["letters"], group["replayed"]) for group in groups] == [
            (EVENTS, "not_json", 2, 0), (EVENTS, "too_large", 1, 0), (EVENTS, "wrong_property", 1, 0),
        ]  # fmt: skip
        assert all(group["first"] and group["last"] >= group["first"] for group in groups)
        assert json.loads(ready.dlq("list", "--json", "--reason", "too_large", on_kafka=on_kafka)) == groups[1:2]
        assert json.loads(ready.dlq("list", "--json", "--since", "1h", on_kafka=on_kafka)) == groups
        assert json.loads(ready.dlq("list", "--json", "--since", "2100-01-01", on_kafka=on_kafka)) == []
        assert json.loads(ready.dlq("list", "--json", "--topic", "dayone.tiny.users", on_kafka=on_kafka)) == []
        table = ready.dlq("list", on_kafka=on_kafka).splitlines()
        assert table[0].split() == ["topic", "reason", "letters", "replayed", "first", "last"]
        assert table[1].split()[:4] == [EVENTS, "not_json", "2", "0"]

    @pytest.mark.parametrize("on_kafka", [False, True], ids=["database", "topics"])
    def test_each_letter_has_all_that_the_message_had(self, ready: Scene, on_kafka: bool) -> None:
        letters = json.loads(ready.dlq("list", "--each", "--json", on_kafka=on_kafka))
        assert [letter["letter"] for letter in letters] == [name(offset) for offset in (20, 21, 22, 23)]
        assert [letter["value"] for letter in letters[:3]] == ["not json", WRONG.decode(), None]
        assert {letter["key"] for letter in letters} == {GOOD[0].decode()}
        own = [["trace", {"base64": "/wA="}], ["trace", "2"]]
        assert all(letter["headers"] == own for letter in letters)
        assert (letters[3]["value_bytes"], letters[3]["cut"]) == (len(HUGE), ["value"])
        assert HUGE.decode().startswith(letters[3]["value"])
        assert name(21) in ready.dlq("list", "--each", on_kafka=on_kafka)

    @pytest.mark.parametrize("on_kafka", [False, True], ids=["database", "topics"])
    def test_one_letter_is_shown_and_judged(self, ready: Scene, tmp_path: Path, on_kafka: bool) -> None:
        raw = tmp_path / "value"
        shown = ready.dlq("show", name(21), "--pack", PRODUCT, "--raw", str(raw), on_kafka=on_kafka)
        assert raw.read_bytes() == WRONG
        for text in (name(21), "reason      wrong_property: ", "now wrong   wrong_property: ", "trace: 000000  ff 00",
                     "missing required field `price`", GOOD_ID):  # fmt: skip
            assert text in shown
        found = json.loads(ready.dlq("show", name(22), "--pack", PRODUCT, "--json", on_kafka=on_kafka))
        assert found["now"] == {"outcome": "bad", "reason": "not_json", "detail": "the message has no value"}
        assert "no dead letter" in ready.dlq("show", name(1), "--pack", PRODUCT, code=1, on_kafka=on_kafka)
        no_value = ready.dlq("show", name(22), "--pack", PRODUCT, "--raw", str(raw), code=1, on_kafka=on_kafka)
        assert "no value" in no_value

    def test_what_would_fail_again_stays_and_is_told(self, ready: Scene) -> None:
        done = ready.replay("--all", "--yes")
        assert (done["sent"], done["stay"]) == (0, 4)
        said = {letter["letter"]: letter["stays"] for letter in done["letters"]}
        assert "would fail again: wrong_property" in said[name(21)]
        assert "not whole: its value cut" in said[name(23)]
        refused = ready.replay(name(21), "--yes", code=1)["said"]
        assert "Nothing was sent" in refused and "--value-file" in refused
        assert "its value cut" in ready.replay(name(23), "--yes", "--force", code=1)["said"]

    def test_nothing_is_sent_by_a_dry_run_or_without_an_answer(self, ready: Scene, tmp_path: Path) -> None:
        mended = tmp_path / "mended.json"
        mended.write_bytes(GOOD[1])
        done = ready.replay(name(21), "--value-file", str(mended), "--dry-run")
        assert (done["sent"], done["stay"], done["dry_run"]) == (0, 0, True)
        assert "Nobody is there to answer" in ready.replay(name(21), "--value-file", str(mended), code=2)["said"]
        with Mailbox(ready.broker.connection) as mailbox:
            assert all(isinstance(each, Letter) for each in mailbox.read()), "no mark was left"

    def test_a_mended_letter_is_stored_once_and_marked(self, ready: Scene, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
        mended = tmp_path / "mended.json"
        mended.write_bytes(GOOD[1])
        monkeypatch.setenv("DAYONE_STORE", str(ready.store))
        done = ready.replay(name(21), "--value-file", str(mended), "--yes")
        assert done["sent"] == 1
        assert "replayed already" in ready.replay(name(21), "--value-file", str(mended), "--yes", code=1)["said"]
        assert ready.replay(name(21), "--value-file", str(mended), "--yes", "--again")["sent"] == 1
        assert len(ready.sink()) == 1, "what is sent twice is skipped by its id"
        for on_kafka in (False, True):
            groups = json.loads(ready.dlq("list", "--json", on_kafka=on_kafka))
            assert {group["reason"]: group["replayed"] for group in groups} == {
                "not_json": 0, "too_large": 0, "wrong_property": 1,
            }  # fmt: skip

    def test_a_replay_keeps_key_and_headers_and_says_which_letter_it_is(self, ready: Scene) -> None:
        from confluent_kafka import Consumer, TopicPartition

        assert ready.replay(name(20), name(22), "--yes", "--force")["sent"] == 2
        consumer = Consumer(
            {"bootstrap.servers": ready.broker.bootstrap_servers, "group.id": "look", "auto.offset.reset": "earliest"}
        )
        consumer.assign([TopicPartition(EVENTS, 0, 24)])  # behind what was sent at first
        found: list[Any] = []
        deadline = time.monotonic() + 60
        while len(found) < 2 and time.monotonic() < deadline:  # an earlier test may have replayed a mended one
            found += [each for each in consumer.consume(10, 0.5) if each.value() in (b"not json", None)]
        consumer.close()
        first, second = found
        assert (first.key(), first.value()) == (GOOD[0], b"not json")
        assert tuple(first.headers()) == (*OWN, ("replay-of", name(20).encode()))
        assert (second.key(), second.value()) == (GOOD[0], None)

    def test_letters_of_the_database_are_replayed_where_the_topic_forgot_them(self, ready: Scene) -> None:
        with Store.open(ready.store) as store:
            store.query(
                "UPDATE dead_letters SET value = ?::BLOB, value_bytes = ? WHERE topic_offset = 20",
                [GOOD[1], len(GOOD[1])],
            )
        done = ready.replay(name(20), "--store", str(ready.store), "--yes")
        assert done["sent"] == 1
        letters = json.loads(ready.dlq("list", "--each", "--json"))
        assert [letter["replayed"] is not None for letter in letters if letter["letter"] == name(20)] == [True]

    def test_while_a_sink_runs_the_topics_have_the_letters(
        self, ready: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DAYONE_STORE", str(ready.store))
        running = start(ready.forked, ready.broker, ready.store)
        line_with(running, "reading")
        try:
            assert "give --bootstrap-servers" in ready.dlq("list", code=5)
            assert "leave --store out" in ready.replay("--all", "--yes", "--store", str(ready.store), code=5)["said"]
            assert json.loads(ready.dlq("list", "--json", on_kafka=True))
            result = CliRunner().invoke(
                app, ["dlq", "replay", name(21), "--yes", "--again", "--force", "--pack", PRODUCT,
                      "--bootstrap-servers", ready.broker.bootstrap_servers]
            )  # fmt: skip
            assert result.exit_code == 0 and "1 sent" in result.stdout
            assert "marked on the topics, but not in the database" in result.stderr
        finally:
            running.signal(signal.SIGTERM)
            finish(running)


@pytest.mark.kafka
def test_letters_that_are_good_by_now_go_all_together_in_their_order(
    embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after a pack has learnt new event types: what an older sink refused is replayed by the newer pack."""
    monkeypatch.chdir(tmp_path)
    provision(embedded_broker.connection, product_topics(PRODUCT, 2))
    sent = events(40)
    letters = [
        DeadLetter(EVENTS, place % 2, 1000 - place, "unknown_event_type", "new", key, value)
        for place, (key, value) in enumerate(sent)
    ]
    outbox = Outbox(embedded_broker.connection, "older", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    outbox.publish(letters)
    outbox.publish(letters[:5])  # as a sink does that was killed before its transaction
    outbox.close()
    servers = embedded_broker.bootstrap_servers
    replay = ["dlq", "replay", "--all", "--topic", EVENTS, "--pack", PRODUCT, "--yes", "--bootstrap-servers", servers]
    result = CliRunner().invoke(app, replay)
    assert result.exit_code == 0, result.output
    assert result.stdout == "40 sent, 0 stay.\n"
    assert "do not keep the order" in result.stderr
    with Mailbox(embedded_broker.connection) as mailbox:
        found = list(mailbox.read(dead_letter_topic(EVENTS)))
    assert len(found) == 85  # 45 letters and 40 marks
    assert CliRunner().invoke(app, replay).stdout == "0 sent, 40 stay.\n"


def letter(value: bytes | None = GOOD[1], **change: Any) -> Letter:
    return Letter(Place(EVENTS, 0, 1), "not_json", "", None, b"k", value, **change)


def test_choosing() -> None:
    court = Judge(PRODUCT)
    assert [choice.stays for choice in choose([letter()], court)] == [""]
    assert choose([letter(b"{}")], court)[0].stays.startswith("would fail again: wrong_envelope")
    assert choose([letter(b"{}")], court, force=True)[0].stays == ""
    assert choose([letter(b"{}")], court, mended=GOOD[1])[0].stays == ""
    assert choose([letter(cut=("value",))], court, mended=GOOD[1])[0].stays == ""
    assert choose([letter(cut=("key", "value"))], court, mended=GOOD[1])[0].stays == "not whole: its key cut"
    replayed = letter(replayed=datetime(2026, 1, 1, tzinfo=UTC))
    assert choose([replayed], court)[0].stays.startswith("replayed already")
    assert choose([replayed], court, again=True)[0].stays == ""


def test_a_topic_of_nobody_is_not_judged_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Letter(Place("dayone.other.events", 0, 1), "not_json", "", None, b"k", b"v")
    for court in (Judge(PRODUCT), Judge()):
        assert "not judged" in choose([stranger], court)[0].stays
        assert choose([stranger], court, force=True)[0].stays == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"], ["replay", "--all", "a/1/2"], ["replay", "--all", "--value-file", "x"], ["replay", "nonsense"],
        ["replay", "a/0/1", "--value-file", "there-is-no-such-file"], ["list", "--reason", "bad_weather"],
        ["list", "--since", "soon"], ["show", "a/b/c"],
    ],
)  # fmt: skip
def test_a_command_that_makes_no_sense_is_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["dlq", *arguments])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


def test_an_absent_broker_is_said_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYONE_SINK_CONNECT_SECONDS", "0.3")
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    result = CliRunner().invoke(app, ["dlq", "list", "--bootstrap-servers", address])
    assert result.exit_code == 4 and address in result.stderr


def test_a_database_without_letters_says_so(tmp_path: Path) -> None:
    Store.open(tmp_path / "a.duckdb").close()
    result = CliRunner().invoke(app, ["dlq", "list", "--store", str(tmp_path / "a.duckdb")])
    assert result.output == "There are no dead letters.\n"
