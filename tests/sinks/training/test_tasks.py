"""Every task that there is, found by itself, keeps the contract of tasks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sinks.store import Store
from sinks.training.registry import all_tasks
from sinks.training.task import Task
from tests.contracts.task import TaskContract
from tests.runs import filled_store


class TestEveryTask(TaskContract):
    @pytest.fixture(params=all_tasks().values(), ids=all_tasks().keys())
    def task(self, request: pytest.FixtureRequest) -> Task:
        return request.param

    def stores(self) -> Callable[[], Store]:
        return lambda: filled_store("shop", users=400, days=16)
