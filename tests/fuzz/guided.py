"""The same promises under atheris, which looks at what code an input reaches and goes on from inputs that reach more.

    pip install "atheris>=2.3,<4"          (Linux; its wheels decide which Pythons)
    python -m tests.fuzz.guided messages -max_total_time=600

Not in the lock: there is a wheel for some Pythons only, and the seeded campaign finds the same again on each. What
comes from atheris are the bytes; they are given to our code as they are, and now and then seed our own mutations.
"""

from __future__ import annotations

import random
import sys
from importlib import import_module
from typing import Any

LIBRARY = "atheris"
ROOMS = ["personas", "sinks"]


def main() -> int:
    try:
        atheris: Any = import_module(LIBRARY)
    except ImportError:
        print('atheris is not installed: pip install "atheris>=2.3,<4"')
        return 1
    with atheris.instrument_imports(include=ROOMS):
        from personas import source
        from personas.catalog import load_catalog
        from personas.errors import PackError
        from sinks.batch import Messages
        from tests.fuzz.campaign import TARGETS
        from tests.fuzz.packs import judged
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print(f"which target? {', '.join(TARGETS)}")
        return 2
    name = sys.argv.pop(1)
    target: Any = TARGETS[name]()

    def messages(content: bytes) -> None:
        topic = target.topics[content[0] % len(target.topics)] if content else target.topics[0]
        batch = target.decoder.decode([Messages(topic, [0], [0], [b"k"], [content[1:]])])
        assert batch.rows + batch.foreign + len(batch.dead_letters) == 1

    def file(content: bytes) -> None:
        target.file.write_bytes(content)
        try:
            (load_catalog if name == "catalog" else source.read_yaml)(target.file)
        except PackError as error:
            judged(error, content)

    def one_input(content: bytes) -> None:
        if name == "messages":
            messages(content)
        elif name in ("catalog", "yaml"):
            file(content)
        if len(content) % 8 == 0:
            target.attempt(random.Random(content))

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
