"""`make audit`: known vulnerabilities in what requirements.lock pins, by pip-audit.

    0  none is known, or all are excepted in deploy/audit-exceptions.toml; or nobody could be asked, which is then said
    1  a vulnerability without an exception, or an exception whose last day is over or that nothing needs any more
    2  the exceptions cannot be read
    4  nobody could be asked (no network), with --strict

A package that the service does not know counts as not asked about: an index without such data answers that it has never
heard of anything, and that must not look like good news.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"
EXCEPTIONS = ROOT / "deploy" / "audit-exceptions.toml"
#: Who is asked, in this order, until one answers.
SERVICES = ("pypi", "osv")


@dataclass(frozen=True)
class Vulnerability:
    """A known vulnerability of a pinned package; `names` are all the ids that it has."""

    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        mended = f", mended in {', '.join(self.fixed_in)}" if self.fixed_in else ", not mended yet"
        return f"{self.package} {self.version}: {', '.join(self.names)}{mended}"


@dataclass(frozen=True)
class Exempt:
    """A vulnerability that is passed over until a day."""

    id: str
    package: str
    reason: str
    until: date

    def covers(self, vulnerability: Vulnerability) -> bool:
        return self.package == vulnerability.package and self.id in vulnerability.names


@dataclass(frozen=True)
class Answer:
    """What a service says: how many packages it knows, how many it does not, and their vulnerabilities."""

    known: int
    unknown: int
    vulnerabilities: tuple[Vulnerability, ...]


def ask(service: str) -> Answer | str:
    """The answer of one service, or why there is none."""
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip", "--no-deps", "--format", "json",
        "--progress-spinner", "off", "--vulnerability-service", service, "--timeout", "10",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return "no answer within 300 s"
    try:
        return read(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        return (done.stderr.strip().splitlines() or ["no answer"])[-1]


def read(report: dict[str, Any]) -> Answer:
    """pip-audit's report in JSON."""
    asked = [each for each in report["dependencies"] if "skip_reason" not in each]
    found = [
        Vulnerability(each["name"], each["version"], (one["id"], *one.get("aliases", ())), tuple(one["fix_versions"]))
        for each in asked
        for one in each["vulns"]
    ]
    return Answer(len(asked), len(report["dependencies"]) - len(asked), tuple(found))


def exceptions_of(text: str) -> list[Exempt]:
    """The exceptions of a TOML file; ValueError where one lacks something or has a reason of a few letters."""
    found = []
    for entry in tomllib.loads(text).get("exception", []):
        if set(entry) != {"id", "package", "reason", "until"} or not isinstance(entry["until"], date):
            raise ValueError(f"found {entry}, expected id, package, reason and until (a date)")
        if len(str(entry["reason"])) < 10:
            raise ValueError(f"{entry['id']}: found the reason {entry['reason']!r}, expected a sentence")
        found.append(Exempt(**entry))
    return found


def judge(answer: Answer, exceptions: list[Exempt], today: date) -> list[str]:
    """What is wrong, in words."""
    open_ones = [str(each) for each in answer.vulnerabilities if not any(one.covers(each) for one in exceptions)]
    late = [each for each in exceptions if each.until < today]
    over = [f"the exception for {each.id} ended on {each.until}: look again" for each in late]
    idle = [
        f"the exception for {each.id} covers nothing: take it out"
        for each in exceptions
        if not any(each.covers(vulnerability) for vulnerability in answer.vulnerabilities)
    ]
    return [*open_ones, *over, *idle]


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.audit", description="Known vulnerabilities of the lock.")
    parser.add_argument("--strict", action="store_true", help="exit with 4 where nobody could be asked")
    strict = parser.parse_args(given).strict
    try:
        exceptions = exceptions_of(EXCEPTIONS.read_text("utf-8"))
    except (OSError, ValueError) as error:
        print(f"{EXCEPTIONS.relative_to(ROOT)}: {error}")
        return 2
    for service in SERVICES:
        answer = ask(service)
        if isinstance(answer, Answer) and answer.known:
            break
        why = answer if isinstance(answer, str) else f"it knows none of {answer.unknown} packages"
        print(f"{service} could not be asked: {why[:300]}")
    else:
        print("NOT AUDITED: nobody could be asked about known vulnerabilities. Try again with a network.")
        return 4 if strict else 0
    faults = judge(answer, exceptions, datetime.now(UTC).date())
    for fault in faults:
        print(fault)
    print(f"{answer.known} packages asked about at {service}, {answer.unknown} unknown there, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
