"""Apache Kafka's classes, read and checked once, so that each Java machine that tests start takes half the work.

Java calls it class-data sharing: a machine that ends in order writes down the classes that it has loaded, and those
that start later map that file. Java 19 keeps such a file by itself (-XX:+AutoCreateSharedArchive); with the 17 that
Kafka needs it has to be asked for, so one broker is started and ended for it, once. The file lies beside the jars,
named by the Java that made it: another one would not read it. Where none can be made, brokers start without.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from tests.kafka_jars import VERSION, cache_folder, locked

#: Java warns of each class that is too old to be kept.
_QUIET = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")


def shared_classes() -> tuple[str, ...]:
    """What to tell `java` so that it takes Kafka's classes from the file, which is made if it is not there."""
    kept = _file()
    if not kept.exists():
        with locked(kept.with_suffix(".jsa.lock")):
            if not kept.exists():
                _make(kept)
    return (f"-XX:SharedArchiveFile={kept}", *_QUIET) if kept.stat().st_size else ()


def _file() -> Path:
    java = subprocess.run(["java", "-version"], capture_output=True, timeout=30, check=True).stderr
    return cache_folder() / f"kafka-{VERSION}-{hashlib.sha256(java).hexdigest()[:8]}.jsa"


def _make(kept: Path) -> None:
    """An empty file says that this Java makes none."""
    from tests.apache_kafka import ApacheKafka

    part = kept.with_suffix(".part")
    part.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        kafka = ApacheKafka(Path(folder) / "kafka", java=(f"-XX:ArchiveClassesAtExit={part}", *_QUIET))
        with kafka:
            process = kafka.nodes[1].process
            assert process is not None
            process.terminate()
            process.wait(120)
    if not part.exists():
        part.touch()
    part.rename(kept)
