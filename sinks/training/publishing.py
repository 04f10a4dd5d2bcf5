"""A version of a training set appears whole or not at all: files are made in a hidden directory, which is then renamed.

One rename on one file system: a reader sees all of a version or none, and so does one who looks after the power failed,
because the files are on disk before. Whatever ends a build before the rename, an error or Ctrl-C, removes the hidden
directory; what a killed process left is removed by the next build of the task. Knows directories, no training set.

How the next build knows that nobody works in a hidden directory, two ways weighed: by the number of the process in its
name, which means nothing in another container on the same volume; or by a lock on the directory, which the kernel lifts
when its process ends, however it ends. The lock won.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from personas.errors import StoreError, TrainingError
from sinks.mishaps import says_full


@contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """A hidden directory that becomes `target` when all has gone well, and is gone otherwise.

    TrainingError where the target exists, nothing can be written there, or the disk or the memory is used up."""
    if target.exists():
        raise _exists(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        hidden = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.partial"
        hidden.mkdir()
        mine = os.open(hidden, os.O_RDONLY)
    except OSError as error:
        raise TrainingError(
            f"{target.parent}: nothing can be written there ({error.strerror}).", hint="Give another --out."
        ) from error
    try:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield hidden
        _settle(hidden)
        _rename(hidden, target)
    except (OSError, StoreError) as error:
        shutil.rmtree(hidden, ignore_errors=True)
        if told := _explained(str(error), target):
            raise told from error
        raise
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    finally:
        os.close(mine)


def _rename(hidden: Path, target: Path) -> None:
    try:
        hidden.rename(target)
    except OSError as error:
        if target.exists():  # another process was faster
            raise _exists(target) from error
        raise
    _sync(target.parent)


def _exists(target: Path) -> TrainingError:
    return TrainingError(
        f"{target} exists already: this very training set was built before, and versions are never changed.",
        hint="Use it; or change the recipe (another seed, split, option or run), or give another --out.",
    )


def _explained(text: str, target: Path) -> TrainingError | None:
    if says_full(text):
        return TrainingError(
            f"{target.parent}: the disk is full; nothing was published.",
            hint="Free some space or give another --out, and build again.",
        )
    if "out of memory" in text.lower():
        return TrainingError(
            f"{target.name}: the memory does not suffice; nothing was published ({text.splitlines()[0]})",
            hint="Give DuckDB more with --memory-limit, e.g. --memory-limit 6GB.",
        )
    return None


def _settle(folder: Path) -> None:
    """See that everything under a directory is on disk."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what builds left that were killed: hidden directories that nobody holds."""
    for left in folder.glob(".*.partial"):
        try:
            descriptor = os.open(left, os.O_RDONLY)
        except FileNotFoundError:
            continue  # its build has just ended
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(descriptor)
