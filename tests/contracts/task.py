"""The contract of every Task; a test class inherits it, and says which task and on which store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import pyarrow as pa

from sinks.store import Store
from sinks.training.loading import load_sets
from sinks.training.registry import all_tasks
from sinks.training.split import SPLITS, Split
from sinks.training.task import KEYS, TRAIL, Task, names

#: After this moment (of a run from 2026-01-01) another future happens in `altered`.
NOW = "2026-01-09T12:00:00Z"

#: Another future: what happens after NOW happens an hour later and is something else; what only the future tells
#: about a session or a user is otherwise; and so is the ground truth of all.
FUTURE = (
    "UPDATE events SET type = 'order_completed', item_id = 'p0001', properties = '{\"query\": \"x\", \"value\": 1}', "
    "time = time + INTERVAL 1 HOUR WHERE time > ?::TIMESTAMPTZ",
    "UPDATE sessions SET ended = ended + INTERVAL 1 HOUR, converted = NOT converted, value = value + 1, "
    "events = events + 7, items = items + 7 WHERE ended > ?::TIMESTAMPTZ",
    "UPDATE labels SET intent = 'other', intent_reached = NOT intent_reached, satisfaction = 0.123, "
    "churned = NOT churned, problems = '[]', persona = 'other' WHERE ?::TIMESTAMPTZ IS NOT NULL",
)


class TaskContract(ABC):
    """Inherit, and implement `stores`."""

    @abstractmethod
    def stores(self) -> Callable[[], Store]:
        """Makes stores in memory, each filled with the same run; a test may change its own."""

    def sets(self, store: Store, name: str, by: str = "user") -> list[pa.Table]:
        task = all_tasks()[name]
        return load_sets(store, task, task.options(), None, (), Split(by=by))  # type: ignore[arg-type]

    def test_the_rows_have_the_declared_columns(self, task: Task) -> None:
        for table in self.sets(self.stores()(), task.name):
            declared = task.columns(task.options())
            assert table.column_names == [column.name for column in declared]
            assert table.num_rows > 0

    def test_every_row_can_be_traced_and_weighed(self, task: Task) -> None:
        declared = task.columns(task.options())
        assert declared[: len(KEYS)] == KEYS
        assert declared[-len(TRAIL) :] == TRAIL
        assert names(declared, "feature")
        assert names(declared, "time")

    def test_the_keys_name_a_row(self, task: Task) -> None:
        keys = names(task.columns(task.options()), "key")
        table = pa.concat_tables(self.sets(self.stores()(), task.name))
        assert table.group_by(list(keys)).aggregate([]).num_rows == table.num_rows

    def test_no_user_is_in_two_splits(self, task: Task) -> None:
        for by in ("user", "time"):
            users = [set(t.column("user_id").to_pylist()) for t in self.sets(self.stores()(), task.name, by)]
            assert len(set.union(*users)) == sum(map(len, users))

    def test_split_by_time_trains_on_the_past_alone(self, task: Task) -> None:
        train, valid, test = self.sets(self.stores()(), task.name, "time")
        (time,) = names(task.columns(task.options()), "time")
        last = [max(table.column(time).to_pylist()) for table in (train, valid)]
        first = [min(table.column(time).to_pylist()) for table in (valid, test)]
        assert last[0] < first[0]
        assert last[1] < first[1]

    def test_the_same_store_gives_the_same_rows(self, task: Task) -> None:
        one, two = (self.sets(self.stores()(), task.name) for _ in range(2))
        for split, a, b in zip(SPLITS, one, two, strict=True):
            assert a.equals(b), split

    def test_features_do_not_know_the_future(self, task: Task) -> None:
        columns = task.columns(task.options())
        past, other = self.stores()(), self.stores()()
        for statement in FUTURE:
            other.query(statement, [NOW])
        seen = [self.known(store, task) for store in (past, other)]
        assert seen[0].num_rows > 50
        for name in (*names(columns, "key"), *names(columns, "time"), *names(columns, "feature")):
            assert seen[0].column(name).equals(seen[1].column(name)), name

    def known(self, store: Store, task: Task) -> pa.Table:
        """The rows whose time is not after NOW, in the order of their keys."""
        import pyarrow.compute as pc

        columns = task.columns(task.options())
        table = pa.concat_tables(self.sets(store, task.name))
        (time,) = names(columns, "time")
        known = table.filter(pc.less_equal(table.column(time), pa.scalar(NOW).cast(table.schema.field(time).type)))
        return known.sort_by([(key, "ascending") for key in names(columns, "key")]).combine_chunks()
