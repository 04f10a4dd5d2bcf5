"""The contract of every Task; a test class inherits it, and says which task and on which store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pytest

from sinks.store import Store
from sinks.training.loading import load_sets
from sinks.training.split import SPLITS, Split
from sinks.training.task import KEYS, TRAIL, Options, Task, names

#: After this moment (of a run from 2026-01-01) another future happens to all.
NOW = "2026-01-09T12:00:00Z"

#: Another future: what happens after a user's `cut` happens an hour later and is something else; what only the future
#: tells about a session or a user is otherwise; and so is the ground truth of all. The data ends when it did.
FUTURE = (
    "UPDATE events SET type = 'order_completed', item_id = 'p0001', properties = '{\"query\": \"x\", \"value\": 1}', "
    "time = least(time + INTERVAL 1 HOUR, last) FROM cuts WHERE events.user_id = cuts.user_id AND time > cut",
    "UPDATE sessions SET ended = least(ended + INTERVAL 1 HOUR, last), converted = NOT converted, value = value + 1, "
    "events = events + 7, items = items + 7, "
    "started = CASE WHEN started > cut THEN started + INTERVAL 1 MINUTE ELSE started END "
    "FROM cuts WHERE sessions.user_id = cuts.user_id AND ended > cut",
    "UPDATE labels SET intent = 'other', intent_reached = NOT intent_reached, satisfaction = 0.123, "
    "churned = NOT churned, problems = '[]', persona = 'other'",
    "UPDATE conversations SET outcome = 'given_up', rejected = replace(rejected::VARCHAR, 'a', 'e'), "
    "turns = to_json([{'role': turn.role, 'seconds': turn.seconds, 'shown': turn.shown, 'cited': turn.cited, "
    "'text': CASE WHEN conversations.time + to_milliseconds((1000 * turn.seconds)::BIGINT) > cut "
    "THEN 'It went otherwise.' ELSE turn.text END} FOR turn IN from_json(turns, '[{\"role\": \"VARCHAR\", "
    "\"text\": \"VARCHAR\", \"seconds\": \"DOUBLE\", \"shown\": [\"VARCHAR\"], \"cited\": [\"VARCHAR\"]}]')]) "
    "FROM cuts WHERE conversations.user_id = cuts.user_id AND conversations.ended > cut",
)
#: Where the futures part: for all at NOW, or for each user in the middle of what the user does, so in a session; for
#: those who write to support when they have sent their first message.
CUTS = {
    "now": f"SELECT DISTINCT user_id, '{NOW}'::TIMESTAMPTZ AS cut FROM events",
    "session": "SELECT user_id, coalesce(wrote, middle) AS cut "
    "FROM (SELECT user_id, quantile_disc(time, 0.5) AS middle FROM events GROUP BY user_id) "
    "LEFT JOIN (SELECT user_id, min(time) AS wrote FROM conversations GROUP BY user_id) USING (user_id)",
}


@dataclass(frozen=True)
class Made:
    """The three splits of a run that nobody changed, and the names and SQL types of what the query gives there."""

    sets: list[pa.Table]
    types: list[tuple[str, str]]


#: What has been made: by who asked, task, options and way to split.
_MADE: dict[tuple[object, ...], Made] = {}


class TaskContract(ABC):
    """Inherit, and implement `stores`."""

    @abstractmethod
    def stores(self, task: Task) -> Callable[[], Store]:
        """Makes stores in memory, each filled with the same run, in which the task has something to see; a test may
        change its own."""

    def options(self, task: Task) -> Options:
        """With which options the task is tried."""
        return task.options()

    def fresh(self, store: Store, task: Task, by: str = "user") -> list[pa.Table]:
        """The three splits of a store."""
        shares = {"user": 0.1, "time": 0.25}[by]  # later users must have a while in which they judge
        split = Split(by=by, valid=shares, test=shares)  # type: ignore[arg-type]
        return load_sets(store, task, self.options(task), None, (), split)

    def made(self, task: Task, by: str = "user") -> Made:
        """What the unchanged run gives, made once."""
        name = (type(self), task.name, self.options(task), by)
        if name not in _MADE:
            store = self.stores(task)()
            sets = self.fresh(store, task, by)
            described = store.query(f"DESCRIBE {task.query(self.options(task))}").to_pylist()
            _MADE[name] = Made(sets, [(row["column_name"], row["column_type"]) for row in described])
        return _MADE[name]

    def sets(self, task: Task, by: str = "user") -> list[pa.Table]:
        """The three splits of the unchanged run."""
        return self.made(task, by).sets

    def test_the_rows_have_the_declared_columns(self, task: Task) -> None:
        types = dict(self.made(task).types)
        for table in self.sets(task):
            declared = task.columns(self.options(task))
            assert table.column_names == [column.name for column in declared]
            assert table.num_rows > 0
        assert types == {column.name: column.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")
                         for column in task.columns(self.options(task))}  # fmt: skip

    def test_every_row_can_be_traced_and_weighed(self, task: Task) -> None:
        declared = task.columns(self.options(task))
        assert declared[: len(KEYS)] == KEYS
        assert declared[-len(TRAIL) :] == TRAIL
        assert names(declared, "feature")
        assert names(declared, "label")
        assert len(names(declared, "time")) == 1
        for table in self.sets(task):
            for column in (*KEYS, *TRAIL):
                assert table.column(column.name).null_count == 0, column.name

    def test_the_keys_name_a_row(self, task: Task) -> None:
        keys = names(task.columns(self.options(task)), "key")
        table = pa.concat_tables(self.sets(task))
        assert table.group_by(list(keys)).aggregate([]).num_rows == table.num_rows

    def test_no_user_is_in_two_splits(self, task: Task) -> None:
        for by in ("user", "time"):
            users = [set(t.column("user_id").to_pylist()) for t in self.sets(task, by)]
            assert len(set.union(*users)) == sum(map(len, users))

    def test_split_by_time_trains_on_the_past_alone(self, task: Task) -> None:
        train, valid, test = self.sets(task, "time")
        (time,) = names(task.columns(self.options(task)), "time")
        last = [max(table.column(time).to_pylist()) for table in (train, valid)]
        first = [min(table.column(time).to_pylist()) for table in (valid, test)]
        assert last[0] < first[0]
        assert last[1] < first[1]

    def test_the_same_store_gives_the_same_rows(self, task: Task) -> None:
        for split, a, b in zip(SPLITS, self.sets(task), self.fresh(self.stores(task)(), task), strict=True):
            assert a.equals(b), split

    @pytest.mark.parametrize("cut", CUTS)
    def test_features_do_not_know_the_future(self, task: Task, cut: str) -> None:
        columns = task.columns(self.options(task))
        other = self.stores(task)()
        other.query(f"CREATE TEMP TABLE cuts AS FROM ({CUTS[cut]}), (SELECT max(time) AS last FROM events)")
        for statement in FUTURE:
            other.query(statement)
        cuts = other.query("FROM cuts")
        seen = [self.known(sets, task, cuts) for sets in (self.sets(task), self.fresh(other, task))]
        assert seen[0].num_rows > 20
        for name in (*names(columns, "key"), *names(columns, "time"), *names(columns, "feature")):
            assert seen[0].column(name).equals(seen[1].column(name)), name

    def known(self, sets: list[pa.Table], task: Task, cuts: pa.Table) -> pa.Table:
        """The rows whose time is not after the user's cut, in the order of their keys."""
        columns = task.columns(self.options(task))
        table = pa.concat_tables(sets)
        (time,) = names(columns, "time")
        cut = dict(zip(cuts["user_id"].to_pylist(), cuts["cut"].to_pylist(), strict=True))
        rows = zip(table["user_id"].to_pylist(), table[time].to_pylist(), strict=True)
        known = table.filter(pa.array([moment <= cut[user] for user, moment in rows]))
        return known.sort_by([(key, "ascending") for key in names(columns, "key")]).combine_chunks()
