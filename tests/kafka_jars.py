"""Apache Kafka's jar files, fetched by Maven once and kept: what tests need to start the real thing without Docker.

    python -m tests.kafka_jars        fetch them if they are not there, and print the class path

They stay in `$DAYONE_TEST_CACHE` or `~/.cache/dayone-tests`, in a folder named by everything that decides what is in
it. A folder appears there complete or not at all: Maven copies into one beside it, which is then renamed, under a lock
that processes wait for. Two ways considered: the release's .tgz from a mirror of apache.org (twice the size, and one
more host to reach) and Maven, whose central repository companies mirror anyway and whose downloads carry checksums.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: The newest release that has all of ARTIFACTS.
VERSION = "4.3.1"
ARTIFACTS = (
    ("org.apache.kafka", "kafka_2.13", VERSION),  # broker, controller, StorageTool
    ("org.apache.kafka", "kafka-tools", VERSION),  # the console tools
    ("org.slf4j", "slf4j-simple", "1.7.36"),  # its log, on standard error
)
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0"
OLDEST_JAVA = 17
_ATTEMPTS = 3


class JarsError(Exception):
    """Kafka cannot be had here; the message says why, in one sentence."""


def class_path() -> str:
    """What java's -cp takes, with everything fetched. JarsError where Java or Maven are missing, or Maven fails."""
    check_java()
    kept = cache_folder() / f"kafka-{VERSION}"
    if not kept.exists():
        with locked(kept.with_suffix(".lock")):
            if not kept.exists():
                _fetch(kept)
    return f"{kept}/*"


def class_path_or_skip() -> str:
    """The same for tests: skips with the reason, or fails with it where the environment says CI=true."""
    try:
        return class_path()
    except JarsError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error} (CI=true: these tests must run)", pytrace=False)
        pytest.skip(str(error))


def cache_folder() -> Path:
    """Where what was fetched stays."""
    chosen = os.environ.get("DAYONE_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "dayone-tests"


def check_java() -> None:
    """JarsError when there is no Java that can run this Kafka."""
    if shutil.which("java") is None:
        raise JarsError(f"Apache Kafka needs Java {OLDEST_JAVA} (apt-get install default-jre-headless)")
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < OLDEST_JAVA:
        raise JarsError(f"Apache Kafka needs Java {OLDEST_JAVA} or newer; java says: {told.strip()[:100]}")


def _fetch(kept: Path) -> None:
    if shutil.which("mvn") is None:
        raise JarsError("the jars of Apache Kafka are fetched by Maven, and there is no mvn (apt-get install maven)")
    part = kept.with_suffix(".part")
    project = kept.with_suffix(".pom")
    project.write_text(_project(), "utf-8")
    command = ["mvn", "-q", "-B", "-f", project, f"{PLUGIN}:copy-dependencies", "-DincludeScope=runtime"]
    for attempt in range(_ATTEMPTS):
        shutil.rmtree(part, ignore_errors=True)
        done = subprocess.run(
            [*command, f"-DoutputDirectory={part}"], capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode == 0:
            part.rename(kept)
            return
        if attempt == _ATTEMPTS - 1:
            raise JarsError(f"Maven cannot fetch Apache Kafka {VERSION}: {(done.stdout + done.stderr).strip()[:600]}")


def _project() -> str:
    wanted = "\n".join(
        f"    <dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>"
        "</dependency>"
        for group, name, version in ARTIFACTS
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0">\n  <modelVersion>4.0.0</modelVersion>\n'
        "  <groupId>dayone.tests</groupId><artifactId>kafka</artifactId><version>1</version>"
        f"<packaging>pom</packaging>\n  <dependencies>\n{wanted}\n  </dependencies>\n</project>\n"
    )


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Alone with what the file's name says; other processes wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    print(class_path())
