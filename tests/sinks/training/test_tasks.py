"""Every task that there is, found by itself, keeps the contract of tasks, and breaks it when it knows the future."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import pytest

from personas.scaffold import TEMPLATE
from sinks.store import Store
from sinks.training.registry import all_tasks
from sinks.training.task import Options, Task
from tests.contracts.task import CUTS, TaskContract
from tests.runs import filled_store
from tests.sinks.training.leaking import Leaking

#: Split by time, these runs leave few days to those who judge: whoever stays away for one of them is gone.
SHORT = {"churn": {"days": 1}}
#: Few write to support where little goes wrong.
TROUBLE = {"support": 10.0}


class TaskOfAProduct(TaskContract):
    product: ClassVar[str]
    users: ClassVar[int]

    @pytest.fixture(params=all_tasks().values(), ids=all_tasks().keys())
    def task(self, request: pytest.FixtureRequest) -> Task:
        return request.param

    def options(self, task: Task) -> Options:
        return task.options(**SHORT.get(task.name, {}))

    def stores(self, task: Task) -> Callable[[], Store]:
        trouble = TROUBLE.get(task.name, 1.0)
        return lambda: filled_store(self.product, users=self.users, days=16, problem_rate=trouble)


class TestEveryTask(TaskOfAProduct):
    product = "shop"
    users = 300

    @pytest.mark.parametrize("leak", ["label", "event"])
    def test_knowing_the_future_breaks_the_contract(self, task: Task, leak: Literal["label", "event"]) -> None:
        with pytest.raises(AssertionError):
            for cut in CUTS:
                self.test_features_do_not_know_the_future(Leaking(task, leak), cut)


@pytest.mark.thorough
class TestEveryTaskOnStream(TaskOfAProduct):
    product = "stream"
    users = 100


@pytest.mark.thorough
class TestEveryTaskOnDesk(TaskOfAProduct):
    product = "desk"
    users = 150


@pytest.mark.thorough
class TestEveryTaskOnAPackJustBegun(TaskOfAProduct):
    """What `dayone init` makes is a copy of the template."""

    product = str(TEMPLATE)
    users = 300
