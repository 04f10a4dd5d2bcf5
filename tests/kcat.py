"""How tests start kcat, a client that is not ours, so that it can talk to the embedded broker.

Debian 12 links kcat 1.7.1 with librdkafka 2.0.2, which skips one byte too few of every tagged field (KIP-482) in an
ApiVersions response and then gives up with "Read underflow". The embedded broker sends such fields. librdkafka from
2.1 on reads them; one comes with the confluent-kafka wheel, and kcat takes it in place of its own.
"""

from __future__ import annotations

import os
from importlib.metadata import files
from pathlib import Path


def kcat_environment() -> dict[str, str]:
    """The environment to start kcat in: ours, with the librdkafka of the wheel where it ships one as a library."""
    libraries = [Path(str(file.locate())) for file in files("confluent-kafka") or () if "librdkafka" in file.name]
    found = [str(library) for library in libraries if ".so" in library.name and library.exists()]
    return {**os.environ, "LD_PRELOAD": found[0]} if found else dict(os.environ)
