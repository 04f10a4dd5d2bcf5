"""Conversations by grammar: the same however they are made, grounded in the help texts, as varied as their users."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pytest

from personas.event import FLAWS, ConversationData
from personas.pack import Pack
from personas.population import DAY_MS
from personas.scaffold import TEMPLATE
from personas.topics import conversations_topic, events_topic
from simulator.producer import MemoryProducer
from simulator.resume import UserNumbers, position_of
from simulator.support.audit import Auditor, citations
from simulator.support.retrieval import Retrieval
from simulator.support.words import Dice, Writer, first_message
from tests.runs import PACKS, START, pack_of, records_of, simulation_of

DAYS = 12


@lru_cache
def messages(name: str, users: int = 250, rate: float = 8.0) -> list[dict[str, Any]]:
    topic = conversations_topic(pack_of(name).product.name)
    records = records_of(name, users=users, days=DAYS, problem_rate=rate)
    return [json.loads(record.value) for record in records if record.topic == topic]


def conversations(name: str) -> list[ConversationData]:
    return [msgspec.convert(message["data"], ConversationData) for message in messages(name)]


def help_of(pack: Pack) -> Any:
    assert pack.help is not None
    return pack.help


def sent(days: list[float], shard: str = "0/1", held: Any = None) -> list[tuple[int, bytes]]:
    producer = MemoryProducer()
    simulation = simulation_of("shop", users=250, problem_rate=8.0, shard=shard, producer=producer)
    simulation.resume(held or {})
    for day in days:
        simulation.advance(round(day * DAY_MS))
    return [(r.partition, r.value) for r in producer.records if r.topic == conversations_topic("shop")]


def test_pieces_and_shards_give_the_same_conversations() -> None:
    whole = sent([DAYS])
    assert len(whole) > 50
    assert sent([0.4, 3, 7.77, DAYS]) == whole
    shards = [value for shard in ("0/2", "1/2") for value in sent([DAYS], shard)]
    assert sorted(shards) == sorted(whole)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_run_goes_on_where_the_topic_ends(share: float) -> None:
    whole = sent([DAYS])
    simulation = simulation_of("shop", users=250, problem_rate=8.0)
    numbers = UserNumbers(simulation.population)
    kept = {number: [v for n, v in whole if n == number] for number in range(4)}
    kept = {number: values[: int(len(values) * share)] for number, values in kept.items()}
    ends = {n: position_of(json.loads(values[-1]), START, numbers) for n, values in kept.items() if values}
    rest = sent([5, DAYS], held={conversations_topic("shop"): ends})
    again = [(number, value) for number, values in kept.items() for value in values]
    assert sorted(again + rest) == sorted(whole)


@pytest.mark.parametrize("name", [*PACKS, str(TEMPLATE)])
def test_answers_stand_in_the_help_texts_and_their_twins_have_the_flaw_that_they_name(name: str) -> None:
    pack = pack_of(name)
    auditor, known = Auditor(help_of(pack)), help_of(pack).texts
    flaws: Counter[str] = Counter()
    for talk in conversations(name):
        assert talk.audit.grounded.passed and talk.audit.polite.passed, talk.audit
        assert talk.passed == talk.audit.solved.passed == (talk.outcome != "given_up")
        for turn in talk.turns[1::2]:
            assert turn.role == "assistant" and citations(turn.text) == turn.cited
            assert set(turn.cited) <= set(turn.shown) <= set(known) and len(turn.shown) <= 4
            assert auditor.flaws_of(turn.text, turn.cited) == {}
        for worse in talk.rejected:
            right = talk.turns[worse.turn]
            assert right.role == "assistant" and worse.text != right.text
            found = auditor.flaws_of(worse.text, right.cited)
            assert worse.flaw in found, (worse, found)
            flaws[worse.flaw] += 1
        assert [turn.role for turn in talk.turns] == ["user", "assistant"] * (len(talk.turns) // 2) + (
            ["user"] if len(talk.turns) % 2 else []
        )
        assert all(a.seconds < b.seconds for a, b in zip(talk.turns, talk.turns[1:], strict=False))
    assert set(flaws) == set(FLAWS)


@pytest.mark.parametrize("name", PACKS)
def test_a_conversation_follows_what_happened(name: str) -> None:
    pack = pack_of(name)
    records = records_of(name, users=250, days=DAYS, problem_rate=8.0)
    events = {e["id"]: e for e in (json.loads(r.value) for r in records if r.topic == events_topic(name))}
    for message in messages(name):
        data = message["data"]
        event = events[f"{message['sessionid']}.{data['sequence']}"]
        assert message["time"] == event["time"] and message["subject"] == event["subject"]
        assert message["id"] == f"{event['id']}.conversation" and message["generator"] == "prior"
        cited = {id_ for turn in data["turns"] for id_ in turn["cited"]}
        assert cited & {*help_of(pack).about(data["reason"]), help_of(pack).hand_over}
        if data["reason"] in pack.product.events:
            assert event["type"] == data["reason"]
        if words := help_of(pack).writes[data["reason"]].words:
            assert data["turns"][0]["text"] == event["data"][words]
    if name == "desk":
        tickets = [event for event in events.values() if event["type"] == "ticket_opened"]
        assert len(tickets) == sum(message["data"]["reason"] == "ticket_opened" for message in messages(name)) > 10


def test_users_write_as_their_parameters_say() -> None:
    talks = [talk for name in ("shop", "stream") for talk in conversations(name)]
    words = np.array([len(talk.turns[0].text.split()) for talk in talks])
    detail = np.array([float(talk.parameters["detail"]) for talk in talks])
    assert np.corrcoef(words, detail)[0, 1] > 0.6
    assert {talk.parameters["mood"] for talk in talks} == {"calm", "worried", "annoyed", "angry"}
    assert {talk.outcome for talk in talks} == {"solved", "handed_over", "given_up"}
    sloppy = [talk.turns[0].text for talk in talks if talk.parameters["typing"] == "sloppy"]
    assert sloppy and all(text == text.lower() for text in sloppy)
    of = defaultdict(list)
    for talk in talks:
        of[talk.outcome].append(float(talk.parameters["patience"]))
    assert np.mean(of["given_up"]) < np.mean(of["handed_over"])
    first = [talk.turns[0].text for talk in talks]
    assert len(set(first)) > 0.8 * len(first)


def test_who_is_less_satisfied_writes_more_often() -> None:
    simulation = simulation_of("shop", users=6000, problem_rate=4.0)
    played = simulation.engine.play(20 * DAY_MS)
    support = simulation.parts[0].support
    assert support is not None
    letters = support.writers.letters(played)
    problems = list(pack_of("shop").product.problems)
    struck = played.events["problem"] == problems.index("crash")
    level = played.sessions["satisfaction"][played.sessions["events"] > 0]
    assert struck.sum() > 500 and level.std() > 0
    reasons = list(help_of(pack_of("shop")).writes)
    wrote = int((letters.reason == reasons.index("crash")).sum())
    assert 0.2 < wrote / struck.sum() < 0.5, "20 % of those who are as satisfied as usual, and nobody is after a crash"
    quiet = simulation_of("shop", users=6000, problem_rate=0.0)
    calm = support.writers.letters(quiet.engine.play(20 * DAY_MS))
    assert calm.mood.mean() < letters.mood.mean() - 0.5
    assert set(calm.reason.tolist()) <= {n for n, name in enumerate(reasons) if name not in problems}


@pytest.mark.parametrize("name", PACKS)
def test_questions_find_their_texts(name: str) -> None:
    help_ = help_of(pack_of(name))
    retrieval = Retrieval(help_)
    asked = [(id_, question) for id_, text in help_.texts.items() for question in text.questions]
    assert sum(id_ in retrieval.best(question) for id_, question in asked) >= 0.97 * len(asked)
    said = [(id_, statement) for id_, text in help_.texts.items() for statement in text.text]
    assert sum(retrieval.best(statement)[:1] == [id_] for id_, statement in said) >= 0.9 * len(said)
    assert retrieval.best("") == retrieval.best("zzz qqq") == []


def test_a_first_message_stays_below_its_words() -> None:
    talk = help_of(pack_of("shop")).talk
    for number in range(400):
        dice = Dice(np.modf(np.arange(1, 49) * 0.6180339887 * (number + 1))[0].tolist())
        writer = Writer("angry", "careful", number / 400, 0.5, 0.9, "desktop", "A lamp", "lamps")
        text = first_message(talk, writer, "Why does the search find no {category} at all?", dice)
        assert len(text.split()) <= writer.most_words
