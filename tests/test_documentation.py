"""Every command and every block of the documents does what they say: it is run, in the order of reading.

Each section is one session in an empty folder of its own. `dayone` is the one of this checkout. `make demo` is run as
what make would run; the other targets are only looked up, because a test that runs the tests never ends.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.documents import (
    READ,
    RUN,
    Block,
    Section,
    Session,
    commands_of,
    plain_words,
    reached,
    sections_of,
    starts_with,
    statements_of,
)
from tests.kcat import kcat_environment
from tests.nursery import LEAN_PATH, Nursery, Order
from tests.stub_anthropic import KEY, StubAnthropic

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if path.exists())
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
SHELL = {"bash", "sh", "console", "shell"}
#: Only a section that names them needs them: another test may hold them for a moment.
DEFAULT_PORTS = (9101, 9102)
#: A block that is only shown: a picture, output, or a language that nothing here runs.
SHOWN = {"", "text", "mermaid", "toml", "csv", "dockerfile", "ini", "diff", "java", "javascript", "go"}


def session_in(folder: Path) -> Session:
    """A session whose `dayone` and `python` are those of this checkout, without settings of the caller's."""
    programs = folder / ".programs"
    programs.mkdir()
    for name, first in (("dayone", f"{ROOT / 'dayone.py'} "), ("python", "")):
        program = programs / name
        lean = f"export PYTHONPATH={LEAN_PATH}\n" if first else ""
        program.write_text(f'#!/bin/sh\n{lean}exec "{sys.executable}" {first}"$@"\n')
        program.chmod(0o755)
    if kcat := shutil.which("kcat"):
        library = kcat_environment().get("LD_PRELOAD", "")
        (programs / "kcat").write_text(f'#!/bin/sh\nLD_PRELOAD="{library}" exec "{kcat}" "$@"\n')
        (programs / "kcat").chmod(0o755)
    if (duckdb := Path(sys.executable).with_name("duckdb")).exists():
        (programs / "duckdb").symlink_to(duckdb)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DAYONE_", "PYTEST_", "COV_"))}
    environment = {**kept, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return Session(folder, environment)


def run_forked(nursery: Nursery, session: Session, words: list[str], shown: str, expected: int) -> None:
    """`Session.run` for a command that is no more than Dayone and its arguments: nothing is imported again."""
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        session = replace(session, environment={**session.environment, name: value})
    output = session.folder / ".programs" / uuid.uuid4().hex
    environment = {**session.environment, "PYTHONPATH": LEAN_PATH}
    child = nursery.launch(Order(words, str(session.folder), str(output), environment))
    try:
        code = child.wait(session.timeout)
    finally:
        child.kill()
    told = "\n".join(Path(f"{output}.{end}").read_text("utf-8") for end in ("out", "err"))
    assert code == expected, f"{shown}\n\nexit code {code}, expected {expected}\n{told}"


def run_command(session: Session, command: str, block: Block, shown: str, nursery: Nursery | None) -> None:
    """Run one command of a shell block, or look up what can't be run here."""
    expected = int(block.directives.get("fails") or 0)
    if command.startswith("make"):
        for target in command.split()[1:]:
            assert "=" in target or target in TARGETS, f"{shown}: make has no target {target}"
        if command != "make demo":
            return
        command = "dayone demo"
    if not starts_with(command, RUN):
        return
    if "background" in block.directives:
        session.start(["bash", "-c", f"exec {command}"], shown, block.directives.get("ready", ""))
    elif nursery and starts_with(command, ["dayone"]) and (words := plain_words(command)):
        run_forked(nursery, session, words, shown, expected)
    else:
        session.run(["bash", "-euo", "pipefail", "-c", command], shown, expected)


def run_block(session: Session, block: Block, nursery: Nursery | None) -> None:
    """Run one block by its language."""
    place = f"line {block.line}"
    if block.language in SHELL:
        for command in commands_of(block.text):
            assert starts_with(command, (*RUN, *READ)), f"{place}: what is {command.split()[0]}?"
            if "not-run" not in block.directives:
                run_command(session, command, block, f"{place}: {command}", nursery)
    elif block.language in {"yaml", "yml"}:
        yaml.safe_load(block.text)
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "python":
        compile(block.text, place, "exec")
        if "background" in block.directives:
            program = session.folder / f".block-{block.line}.py"
            program.write_text(block.text)
            session.start(["python", str(program)], place, block.directives.get("ready", ""))
        elif "not-run" not in block.directives:
            session.run(["python", "-"], place, text=block.text)
    elif block.language == "sql":
        for statement in statements_of(block.text) if "not-run" not in block.directives else ():
            run_command(session, shlex.join(["dayone", "sql", statement]), block, f"{place}: {statement}", nursery)
    else:
        assert block.language in SHOWN, f"{place}: no test knows how to run {block.language}"


def wait_for_ports() -> None:
    """Until nobody holds a default port any more, at most half a minute."""
    deadline = time.monotonic() + 30
    for port in DEFAULT_PORTS:
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                    break
                except OSError:
                    time.sleep(0.2)


def needs_ports(section: Section) -> bool:
    """Whether it names a default port, or takes one of its own choice."""
    named = "".join(block.text + block.directives.get("ready", "") for block in section.blocks)
    return bool(re.search(r"--port|:\d{4,5}", named))


def run_section(section: Section, folder: Path, nursery: Nursery | None = None) -> list[str]:
    """Run all blocks of a section; returns the programs that some of them needed and that are missing."""
    session, missing = session_in(folder), list[str]()
    if needs_ports(section):
        wait_for_ports()
    else:
        session.environment.update({f"DAYONE_{room}_METRICS_PORT": "0" for room in ("SIMULATOR", "SINK")})
    with ExitStack() as stack:
        stack.callback(session.stop)
        if any("model" in block.directives for block in section.blocks):
            stub = stack.enter_context(StubAnthropic())
            session.environment.update(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=stub.url)
        for block in section.blocks:
            needs = [name.strip() for name in block.directives.get("needs", "").split(",") if name.strip()]
            absent = [name for name in needs if shutil.which(name, path=session.environment["PATH"]) is None]
            missing += absent
            if not absent:
                run_block(session, block, nursery)
    return missing


def runs(section: Section) -> bool:
    """Whether it has a block that is more than read."""
    return any(
        "not-run" not in block.directives
        and (block.language in {"python", "sql"}
             or (block.language in SHELL
                 and any(starts_with(command, [*RUN, "make demo"]) for command in commands_of(block.text))))
        for block in section.blocks
    )  # fmt: skip


def marks_of(name: str, section: Section) -> list[pytest.MarkDecorator]:
    """Those that take ports which others may want too are run one after the other."""
    ports = [pytest.mark.xdist_group("default-ports")] if needs_ports(section) else []
    return [*ports, pytest.mark.thorough] if runs(section) and name not in FIRST_STEPS else ports


#: With what a newcomer begins; what else there is to run takes minutes.
FIRST_STEPS = {"README.md: Ask the database", "README.md: Read the topics from your own program"}
NAMED = [(f"{path.name}: {one.title}", one) for path in DOCUMENTS for one in sections_of(path.read_text("utf-8"))]
SECTIONS = [pytest.param(section, id=name, marks=marks_of(name, section)) for name, section in NAMED]


def test_the_first_steps_are_in_the_documents() -> None:
    assert {name for name, section in NAMED if runs(section)} >= FIRST_STEPS


def test_there_is_a_readme() -> None:
    if not DOCUMENTS:
        pytest.skip("there is no README.md yet")
    assert SECTIONS


def anchors_of(markdown: str) -> set[str]:
    """What a link may name behind `#`: the headings, as Markdown renderers write them."""
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    lost = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text("utf-8"))):
            lost.append(link)
    assert not lost


@pytest.mark.timeout(300)
@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_does_what_it_says(section: Section, tmp_path: Path, nursery: Nursery) -> None:
    if missing := run_section(section, tmp_path, nursery):
        pytest.skip(f"all else passed, but these are not installed: {', '.join(missing)}")


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in DOCUMENTS])
def test_every_block_not_run_has_a_reason(path: Path) -> None:
    for section in sections_of(path.read_text("utf-8")):
        for block in section.blocks:
            assert block.directives.get("not-run", "given"), f"line {block.line}: not-run needs a reason"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in DOCUMENTS])
def test_every_link_into_the_checkout_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)", path.read_text("utf-8")):
        assert "://" in link or link.startswith("mailto:") or (path.parent / link).exists(), link


# The machinery itself, which has to be able to fail


DOCUMENT = """\
# Title
```bash
dayone demo  # comment
```
## One
<!-- needs: kcat, jq -->
<!-- background --> <!-- ready: http://127.0.0.1:1/health -->
```bash
# only a comment
dayone up \\
    shop
dayone sql "select 1
            as one"
```
## Two
no block
## Three
~~~sql
-- why
select 1;
select 2
~~~
"""


def test_reading_sections_blocks_and_directives() -> None:
    top, one, three = sections_of(DOCUMENT)
    assert (top.title, one.title, three.title) == ("(top)", "One", "Three")
    assert top.blocks[0].directives == {}
    assert one.blocks[0].directives == {
        "needs": "kcat, jq",
        "background": "",
        "ready": "http://127.0.0.1:1/health",
    }
    assert commands_of(top.blocks[0].text) == ["dayone demo  # comment"]
    assert commands_of(one.blocks[0].text) == ["dayone up shop", 'dayone sql "select 1\n            as one"']
    assert list(statements_of(three.blocks[0].text)) == ["select 1", "select 2"]
    assert three.blocks[0].line == 18


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("dayone sql 'select * from a' --limit 3  # why", ["dayone", "sql", "select * from a", "--limit", "3"]),
        ('A=b dayone sql "select \'$\'"', []),
        ('A=b dayone sql "(1)"', ["A=b", "dayone", "sql", "(1)"]),
        ("dayone packs | head", []),
        ("dayone packs > file", []),
        ("dayone build sets/*", []),
        ("dayone build $HOME", []),
        ("dayone packs && dayone packs", []),
    ],
)
def test_what_a_shell_would_only_split_is_told_from_the_rest(command: str, words: list[str]) -> None:
    assert plain_words(command) == words


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ('rows_total{table="events"} 1000', True),
        ('rows_total{table="events"} 1001', False),
        ('rows_total{table="labels"} 1', False),
        ("rows_total 0", False),
    ],
)
def test_a_block_can_wait_for_a_metric(wanted: str, expected: bool) -> None:
    page = '# TYPE rows_total counter\nrows_total{table="events"} 1000.0\nrows_total{table="labels"} 0.0\n'
    assert reached(page, wanted) is expected


@pytest.mark.parametrize("text", ["```bash\ndayone demo\n", '```bash\necho "open\n```\n'])
def test_a_document_that_never_ends_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never"):
        run_section(sections_of(text)[0], tmp_path)


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("```bash\nrm -rf everything\n```", "what is rm"),
        ("```bash\nmake coffee\n```", "no target coffee"),
        ("```bash\ndayone no-such-command\n```", "exit code 2, expected 0"),
        ("```bash\npython -c 'import sys; sys.exit(3)' | cat\n```", "exit code 3, expected 0"),
        ("<!-- fails: 3 -->\n```bash\npython -c 'pass'\n```", "exit code 0, expected 3"),
        ("```python\nraise SystemExit(4)\n```", "exit code 4, expected 0"),
        ("```cobol\nSTOP RUN.\n```", "cobol"),
        ("<!-- background -->\n```bash\npython -c 'raise SystemExit(5)'\n```", "ended with 5"),
        ("<!-- background -->\n```bash\npython -uc 'print(1); raise SystemExit(5)'\n```\n", "ended with 5"),
    ],
)
def test_what_does_not_work_is_found(block: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=complaint):
        run_section(sections_of(block)[0], tmp_path)


def test_a_section_shares_its_folder_and_ends_its_background(tmp_path: Path) -> None:
    wait = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    background = f"<!-- background -->\n```bash\npython -c '{wait}'\n```\n"
    text = f"{background}```bash\nls .background-0.log\necho a > b\ncat b\n```\n"
    assert run_section(sections_of(text)[0], tmp_path) == []
    process = int((tmp_path / ".background-0.log").read_text().split()[0])
    assert subprocess.run(["kill", "-0", str(process)], capture_output=True).returncode != 0
