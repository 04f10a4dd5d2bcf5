"""From what was played to messages: the JSON of events, session summaries, users and labels, in columns.

The envelope is the contract of `personas.event`. Messages carry the keys that order them: (time, user, tie) is a total
order of the messages of a topic that does not depend on how the run was cut into pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas import event as contract
from personas.pack import Pack
from personas.population import Population, device_names, trait_names
from personas.provenance import RunIdentity
from personas.randomness import fold, mix
from simulator import text
from simulator.choice import OUTCOMES
from simulator.engine import Played
from simulator.properties import Properties, Rows
from simulator.slates import Rankings, propensity_codes, propensity_table
from simulator.views import alone, pick, viewed

SESSION_KEY = 1_000_000
_SESSION_BITS = 16
_BEGIN = '{"specversion":"1.0","id":"'
_COLUMNS = ("time", "user", "tie", "row", "kind", "problem")


@dataclass(frozen=True)
class Messages:
    """Messages of one topic: the sort keys (`time` in milliseconds after the start of the run, `user` the user's number
    in the whole population, `tie` within user and instant), `row` the user's row in the shard's population, `kind` the
    number of the event type (-1 for Dayone's own types), `problem` the one planted there (-1 for none), and the text of
    each in `values` (Arrow's strings or, better, views of them: see `views`)."""

    time: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    tie: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    problem: npt.NDArray[np.int64]
    values: pa.Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", viewed(self.values))

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: npt.NDArray[Any]) -> Messages:
        """The given messages; their texts stay where they are, among those of all."""
        return Messages(**{name: getattr(self, name)[rows] for name in _COLUMNS}, values=pick(self.values, rows))

    def alone(self) -> Messages:
        """The same messages, without the texts of others."""
        return replace(self, values=alone(self.values))

    @staticmethod
    def join(parts: list[Messages]) -> Messages:
        """The messages of all parts, one after the other."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
        return Messages(**columns, values=pa.concat_arrays([part.values for part in parts]))


def no_messages() -> Messages:
    empty = np.zeros(0, dtype=np.int64)
    return Messages(empty, empty, empty, empty, empty, empty, pa.array([], pa.string()))


class _Picked(dict[str, npt.NDArray[Any]]):
    """The given rows of columns, each taken out when it is asked for: no type of event needs them all."""

    def __init__(self, columns: dict[str, npt.NDArray[Any]], rows: npt.NDArray[np.int64]) -> None:
        super().__init__()
        self._columns, self._rows = columns, rows

    def __missing__(self, name: str) -> npt.NDArray[Any]:
        self[name] = self._columns[name][self._rows]
        return self[name]


class Encoder:
    """Encodes what an engine played for one run."""

    def __init__(
        self, pack: Pack, identity: RunIdentity, population: Population, rankings: Rankings,
        generator: str | None = None,
    ) -> None:  # fmt: skip
        """`generator` says who plays these users, where that is not the run's own: of them, sessions that no agent
        walked are the run's own all the same."""
        self.pack, self.population, self.rankings = pack, population, rankings
        self.properties = Properties(pack)
        self.calendar = text.Calendar(identity.start)
        self.ids = text.fragments(population.ids.astype(str).tolist())
        self.devices = text.quoted(device_names(pack))
        self.personas = text.quoted([persona.name for persona in pack.personas])
        self.intents = text.quoted(list(pack.product.intents))
        self.problems = text.quoted(list(pack.product.problems) or ["none"])
        self.outcomes = text.fragments([f',"outcome":"{name}"' if name else "" for name in OUTCOMES])
        self.chances = text.numbers(np.round(propensity_table(rankings), 6).tolist())
        self.slates = text.quoted(list(pack.product.slates) or ["none"])
        self._source = f'","source":"/dayone/{identity.product}","type":"'
        origins = [
            f'","synthetic":true,"runid":"{identity.run_id}","generator":"{name}","generation":{identity.generation},'
            for name in (generator or identity.generator, identity.generator)
        ]
        self._origin = origins[0]
        self._origins = text.fragments(origins) if generator else None

    def _envelope(
        self, id_: pa.Array, kind: str, time: pa.Array, user: pa.Array, session: pa.Array | None,
        outcome: npt.NDArray[Any] | None = None,
    ) -> list[Any]:  # fmt: skip
        pieces: list[Any] = [_BEGIN, id_, f'{self._source}{kind}","time":"', time]
        return [*pieces, *self._rest(user, session, outcome)]

    def _rest(self, user: pa.Array, session: pa.Array | None, outcome: npt.NDArray[Any] | None = None) -> list[Any]:
        """What follows the time: the same for all events of a session. Without an `outcome` no agent walked it."""
        named = [] if session is None else ['"sessionid":"', session, '",']
        origin = self._origin
        if self._origins is not None and outcome is not None:
            origin = text.look_up(self._origins, (outcome == 0).astype(np.int64))
        return ['","subject":"', user, origin, *named, '"data":{']

    def _session_ids(self, row: npt.NDArray[Any], session: npt.NDArray[Any]) -> pa.Array:
        return text.join(text.look_up(self.ids, row), "-", text.integers(session))

    def events(self, played: Played) -> Messages:
        """All events, type by type; not yet in the order of time."""
        columns, sessions = played.events, played.sessions
        if not len(columns["event"]):
            return no_messages()
        row = sessions["user"].astype(np.int64)
        ids, user = self._session_ids(row, sessions["session"]), text.look_up(self.ids, row)
        frame = (ids, text.join(_BEGIN, ids, "."), text.join(*self._rest(user, ids, sessions["outcome"])))
        session = _session_rows(played, np.arange(len(columns["event"])))
        order = np.argsort(columns["event"], kind="stable")
        counts = np.bincount(columns["event"], minlength=len(self.pack.product.events))
        parts, first = [], 0
        for number, (name, count) in enumerate(zip(self.pack.product.events, counts.tolist(), strict=True)):
            rows = order[first : first + count]
            first += count
            if count:
                of_type = _Picked(columns, rows)
                parts.append(self._events_of_type(number, name, of_type, session[rows], frame, played))
        return Messages.join(parts)

    def _events_of_type(
        self, number: int, name: str, columns: dict[str, Any], of: npt.NDArray[np.int64],
        frame: tuple[pa.Array, pa.Array, pa.Array], played: Played,
    ) -> Messages:  # fmt: skip
        """`of` is the session of each event; `frame` has, by session, its id and the text before and after what is
        the event's own in the envelope."""
        ids, before, after = frame
        row, session = columns["user"].astype(np.int64), columns["session"].astype(np.int64)
        slates, bags = played.slates["items"], played.bags
        rows = Rows(
            columns=columns,
            key=fold(fold(self.population.key[row], session + SESSION_KEY), columns["sequence"]),
            session=of,
            session_ids=ids,
            device=self.population.device[row],
            slate_items=slates[columns["slate"]] if self.pack.product.events[name].slate else slates[:0],
            bags=bags[columns["bag"]] if len(bags) and (columns["bag"] >= 0).all() else bags[:0],
            words=played.words,
        )
        values = text.join(
            text.look_up(before, of), text.integers(columns["sequence"]),
            *self.calendar.pieces(columns["time"], f'{self._source}{name}","time":"'), text.look_up(after, of),
            *self.properties.fragments(name, rows), "}}",
        )  # fmt: skip
        return Messages(
            time=columns["time"],
            user=self.population.number[row],
            tie=(session << _SESSION_BITS) + columns["sequence"],
            row=row,
            kind=np.full(len(row), number, dtype=np.int64),
            problem=columns["problem"].astype(np.int64),
            values=values,
        )

    def sessions(self, played: Played) -> Messages:
        """The summaries of all sessions."""
        columns = played.sessions
        row, session = columns["user"].astype(np.int64), columns["session"].astype(np.int64)
        session_id, ended = self._session_ids(row, session), self.calendar.text(columns["ended"])
        user, outcome = text.look_up(self.ids, row), columns["outcome"]
        envelope = self._envelope(session_id, contract.SESSION, ended, user, session_id, outcome)
        values = text.join(
            *envelope, '"number":', text.integers(session), ',"started":"', self.calendar.text(columns["started"]),
            '","ended":"', ended, '","events":', text.integers(columns["events"]),
            ',"items":', text.integers(columns["items"]), ',"device":', self._device(row),
            ',"converted":', _booleans(columns["converted"]), ',"value":', text.fixed(columns["value_cents"], 2), "}}",
        )  # fmt: skip
        return self._own(columns["ended"], row, session, values)

    def session_labels(self, played: Played) -> Messages:
        """The ground truth of all sessions."""
        columns = played.sessions
        row, session = columns["user"].astype(np.int64), columns["session"].astype(np.int64)
        session_id = self._session_ids(row, session)
        time = self.calendar.text(columns["ended"])
        id_ = text.join(session_id, ".label")
        user, outcome = text.look_up(self.ids, row), columns["outcome"]
        envelope = self._envelope(id_, contract.SESSION_LABEL, time, user, session_id, outcome)
        problems, slates = self._per_session(played)
        values = text.join(
            *envelope, '"persona":', text.look_up(self.personas, self.population.persona[row]),
            ',"intent":', text.look_up(self.intents, columns["intent"]),
            ',"intent_reached":', _booleans(columns["reached"]),
            ',"satisfaction":', text.floats(columns["satisfaction"]), ',"churned":', _booleans(columns["churned"]),
            ',"weight":', text.floats(columns["weight"]), ',"history_weight":', text.floats(columns["history_weight"]),
            ',"problems":', problems, ',"slates":', slates, text.look_up(self.outcomes, outcome), "}}",
        )  # fmt: skip
        return self._own(columns["ended"], row, session, values)

    def _per_session(self, played: Played) -> tuple[pa.Array, pa.Array]:
        """The lists of problems and of slates of each session, in the order of `played.sessions`."""
        events = played.events
        result = []
        for column, render in (("problem", self._problem), ("slate", self._slate)):
            rows = np.flatnonzero(events[column] >= 0)
            session = _session_rows(played, rows)
            rows = rows[np.lexsort((events["sequence"][rows], session))]
            counts = np.bincount(session, minlength=len(played.sessions["user"]))
            items = text.integers(events["sequence"][rows]), render(played, rows)
            result.append(text.lists(items, counts, '{"sequence":'))
        return result[0], result[1]

    def _problem(self, played: Played, rows: npt.NDArray[Any]) -> pa.Array:
        """What the label of a session says of problems, after their sequence."""
        return text.look_up(text.join(',"problem":', self.problems, "}"), played.events["problem"][rows])

    def _slate(self, played: Played, rows: npt.NDArray[Any]) -> pa.Array:
        """What the label of a session says of slates, after their sequence. Many have the same propensities."""
        if not len(rows):
            return text.fragments([])
        shown = {name: column[played.events["slate"][rows]] for name, column in played.slates.items()}
        slate, day = shown["slate"].astype(np.int64), shown["day"].astype(np.int64)
        code = propensity_codes(self.rankings, slate, shown["listed"].astype(np.int64), day, shown["as_ranked"])
        code[shown["items"] < 0] = -1
        first, same = alike(np.column_stack([slate, code]).astype(np.int32))
        there = code[first] >= 0
        listed = text.lists([text.look_up(self.chances, code[first][there])], there.sum(axis=1))
        name = text.look_up(self.slates, slate[first])
        return text.look_up(text.join(',"slate":', name, ',"propensities":', listed, "}"), same)

    def users(self, rows: npt.NDArray[np.int64]) -> Messages:
        """The records of the given users (rows of the shard's population)."""
        signed_up = self.population.signed_up[rows]
        time, user = self.calendar.text(signed_up), text.look_up(self.ids, rows)
        envelope = self._envelope(user, contract.USER, time, user, None)
        values = text.join(*envelope, '"signed_up":"', time, '","device":', self._device(rows), "}}")
        return self._own(signed_up, rows, np.zeros(len(rows), dtype=np.int64), values)

    def user_labels(self, rows: npt.NDArray[np.int64]) -> Messages:
        """The ground truth of the given users."""
        people = self.population
        signed_up = people.signed_up[rows]
        user = text.look_up(self.ids, rows)
        envelope = self._envelope(
            text.join(user, ".label"), contract.USER_LABEL, self.calendar.text(signed_up), user, None
        )
        pieces: list[Any] = [*envelope, '"persona":', text.look_up(self.personas, people.persona[rows]), ',"traits":{']
        for column, name in enumerate(trait_names(self.pack)):
            pieces += [f'{"," if column else ""}"{name}":', text.floats(np.round(people.traits[rows, column], 6))]
        pieces.append('},"tastes":{')
        for column, name in enumerate(self.pack.catalog.categories):
            pieces += [f'{"," if column else ""}"{name}":', text.floats(np.round(people.tastes[rows, column], 6))]
        rate = text.floats(np.round(people.sessions_per_week[rows], 6))
        values = text.join(*pieces, '},"sessions_per_week":', rate, "}}")
        return self._own(signed_up, rows, np.full(len(rows), -1, dtype=np.int64), values)

    def _device(self, row: npt.NDArray[np.int64]) -> pa.Array:
        return text.look_up(self.devices, self.population.device[row])

    def _own(self, time: npt.NDArray[Any], row: npt.NDArray[Any], tie: npt.NDArray[Any], values: pa.Array) -> Messages:
        kind = np.full(len(row), -1, dtype=np.int64)
        times = np.asarray(time, dtype=np.int64)
        return Messages(times, self.population.number[row], tie, row, kind, kind, values)


def alike(rows: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows that stand for others like them, and for each row which of those is the same; without sorting, so that a few
    stand for themselves although there are more like them."""
    every = np.arange(len(rows))
    odd = fold(np.uint64(0), np.arange(rows.shape[1])) | np.uint64(1)
    slot = mix((rows.astype(np.uint64) * odd).sum(axis=1)) >> np.uint64(48)
    last = np.zeros(1 << 16, dtype=np.int64)
    last[slot] = every
    standing = last[slot]
    standing = np.where((rows[standing] == rows).all(axis=1), standing, every)
    stands = np.zeros(len(rows), dtype=bool)
    stands[standing] = True
    return np.flatnonzero(stands), (np.cumsum(stands) - 1)[standing]


def ending_from(played: Played, instant: int) -> Played:
    """Of what was played, the sessions that end at this instant or later, whole."""
    keep = played.sessions["ended"] >= instant
    rows = keep[_session_rows(played, np.arange(len(played.events["time"])))]
    events = {name: column[rows] for name, column in played.events.items()}
    sessions = {name: column[keep] for name, column in played.sessions.items()}
    return Played(events, sessions, played.slates, played.bags, played.words)


def _session_rows(played: Played, events: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The row in `played.sessions` of the session of each of these events: what is played is played to its end."""
    if not len(events):
        return events
    users, sessions = played.sessions["user"].astype(np.int64), played.sessions["session"].astype(np.int64)
    name = (users << 32) + sessions
    order = np.argsort(name, kind="stable")
    user, number = users[order], sessions[order]
    of_user, of_session = played.events["user"][events].astype(np.int64), played.events["session"][events]
    if ((user[1:] == user[:-1]) & (number[1:] != number[:-1] + 1)).any():  # twins' sessions may overlap
        return np.asarray(order[np.searchsorted(name[order], (of_user << 32) + of_session)])
    # a user's sessions stand one after the other, so where the first stands says where all do
    begin = np.zeros(int(user[-1]) + 1, dtype=np.int64)
    begin[user[::-1]] = (np.arange(len(order)) - number)[::-1]  # of several the first one stays
    return np.asarray(order[begin[of_user] + of_session])


def _booleans(values: npt.NDArray[np.bool_]) -> pa.Array:
    return text.look_up(text.fragments(["false", "true"]), values.astype(np.int64))
