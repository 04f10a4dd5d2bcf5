"""Logging for the daemons: readable lines, or one JSON object per line for machines.

Uses the standard library alone. Everything goes to standard error, so that standard output stays for results.
Secrets are kept out by what is logged: messages hold no settings but those named in them, and `Redact` masks what
looks like a password or key all the same.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import IO

FORMATS = ("text", "json")
_SECRET = re.compile(r"(?i)((?:password|secret|token|api[_-]?key)\s*[=:]\s*)(\S+)|(sk-ant-)[\w-]+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """The text with what looks like a secret masked."""
    return _SECRET.sub(lambda match: (match[1] or match[3]) + "***", text)


class TextFormatter(logging.Formatter):
    """`12:34:56 warning dayone.sink: message key=value`, UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback where there is one."""
        clock = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        extra = "".join(f" {key}={value}" for key, value in extras(record).items())
        line = f"{clock} {record.levelname.lower()} {record.name}: {record.getMessage()}{extra}"
        return redact(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


class JsonFormatter(logging.Formatter):
    """One JSON object: time (UTC, RFC 3339), level, logger, message, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without line breaks."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        entry |= {key: redact(value) if isinstance(value, str) else value for key, value in extras(record).items()}
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry, default=str, ensure_ascii=False)


def extras(record: logging.LogRecord) -> dict[str, object]:
    """The fields given with `extra=`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def setup_logging(format: str = "text", level: str = "info", stream: IO[str] | None = None) -> None:  # noqa: A002
    """Send all logging to standard error (or `stream`) as `text` or `json`, from `level` up. Twice is once.

    ValueError for another format or level.
    """
    if format not in FORMATS:
        raise ValueError(f"log format {format!r}: expected one of {', '.join(FORMATS)}")
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r}: expected debug, info, warning or error")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if getattr(old, "dayone", False)]:
        root.removeHandler(old)
    handler.dayone = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(number)
