"""What librdkafka says by itself, and what of it matters. Knows its log lines and errors; opens no connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any


class ClientLog:
    """What librdkafka gets as its logger: everything to `logging`, the coming and going of connections at debug
    level (whether a connection matters is told by the deliveries), the rest at the level it came with.
    `on_other_cluster` is called when the cluster that answers is not the one that it had connected to before."""

    CONNECTION_NOISE = frozenset({"FAIL", "ERROR", "REQTMOUT", "MAXPOLL", "COORDINATOR", "GETPID", "CLUSTERID"})
    #: Said once when a client starts: a setting is "experimental". We know which, and why (see `producer`).
    SETTINGS_NOISE = frozenset({"CONFWARN"})

    def __init__(self, logger: logging.Logger, on_other_cluster: Callable[[], None] = lambda: None) -> None:
        self._logger, self._on_other_cluster = logger, on_other_cluster

    def log(self, level: int, template: str, facility: str = "", *rest: object) -> None:
        """The one method that librdkafka's binding calls."""
        if facility == "CLUSTERID":
            self._on_other_cluster()
        noise = facility in self.CONNECTION_NOISE | self.SETTINGS_NOISE
        self._logger.log(logging.DEBUG if noise else level, template, facility, *rest)


def words_of(error: Any) -> str:
    """A client's error in its own words, without the full stop."""
    text = error.str() if hasattr(error, "str") else str(error)
    return str(text or error.name()).rstrip(".")
