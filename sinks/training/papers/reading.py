"""A training set that was built, as its own papers tell it. AuditError where they cannot be read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personas.errors import AuditError, TrainingError
from sinks.training.papers.manifest import MANIFEST, SIGNATURE, files_in


@dataclass(frozen=True)
class Published:
    """A version on disk: its manifest as bytes and as data, and its signature (None: unsigned)."""

    directory: Path
    text: bytes
    manifest: dict[str, Any]
    signature: bytes | None

    @property
    def subject(self) -> str:
        """`<task>/<version>`, as the audit log names it."""
        return f"{self.manifest['dayone:recipe']['task']}/{self.manifest['version'].partition('+')[2]}"

    @property
    def parts(self) -> list[tuple[str, str, int]]:
        """Split, path and number of rows of each file with rows, in the order of the rows: train, valid, test."""
        told = [
            (file["dayone:file"]["split"], path, int(file["dayone:file"]["rows"]))
            for path, file in files_in(self.manifest).items()
            if "dayone:file" in file
        ]
        order = {"train": 0, "valid": 1, "test": 2}
        return sorted(told, key=lambda part: (order.get(part[0], 3), part[1]))


def published(directory: Path) -> Published:
    """What is in a directory. TrainingError where there is no training set, AuditError where its manifest is broken."""
    path = directory / MANIFEST
    try:
        text = path.read_bytes()
        signature = (directory / SIGNATURE).read_bytes() if (directory / SIGNATURE).exists() else None
    except OSError as error:
        raise TrainingError(
            f"{directory} holds no training set with a manifest ({error.strerror}).",
            hint="Name a directory that `dayone build` told of: <out>/<task>/<version>.",
        ) from error
    try:
        manifest = json.loads(text)
        found = Published(directory, text, manifest, signature)
        _ = (found.subject, found.parts, manifest["dayone:runs"], manifest["dayone:auditLog"]["anchor"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuditError(
            f"{path}: this is no manifest of a training set ({type(error).__name__}: {error}).",
            hint="It was damaged or changed; build the set again.",
        ) from error
    return found
