"""Files are read safely, and every mistake in them is told by line, field, found and expected."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from personas import source
from personas.errors import Fault, PackError
from personas.source import MAX_BYTES, MAX_YAML_BYTES, Path_, dotted, nearest, read_text, read_yaml
from tests.personas.small_pack import PERSONA_FILE, PRODUCT_FILE, SmallPack


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def only_fault(file: Path) -> Fault:
    with pytest.raises(PackError) as caught:
        read_yaml(file)
    (fault,) = caught.value.faults
    assert fault.file == str(file)
    return fault


def test_data_comes_with_the_line_of_every_field(file: Path) -> None:
    file.write_text("a: 1\nb:\n  c: [x, 2.5]\n  on: yes\n  day: 2026-01-02\n")
    data, lines = read_yaml(file)
    assert data == {"a": 1, "b": {"c": ("x", 2.5), "on": True, "day": "2026-01-02"}}
    assert lines[("a",)] == 1
    assert lines[("b", "c")] == lines[("b", "c", 1)] == 3
    assert lines[("b", "on")] == 4, "a key is text, whatever YAML 1.1 makes of it"


def test_both_loaders_read_the_same_and_one_is_enough(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted(Path(source.__file__).parent.rglob("*.yaml"))
    assert files and source.QUICK_LOADER is not None, "PyYAML's wheels have libyaml"
    quick = [source._read(source.QUICK_LOADER, read_text(each), each) for each in files]
    file.write_text("a: 'b\n")
    told = only_fault(file)
    monkeypatch.setattr(source, "QUICK_LOADER", None)
    assert [read_yaml(each) for each in files] == quick
    assert only_fault(file) == told, "mistakes are told by the loader in Python either way"


def test_empty_files_have_no_data(file: Path) -> None:
    file.write_text("# only a comment\n")
    assert read_yaml(file) == (None, {})


def test_a_byte_order_mark_is_no_content(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(file)[0] == {"a": 1}


@pytest.mark.parametrize(
    ("text", "line", "field", "found", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a", "the field twice", "once"),
        ("a:\n  b: 1\n  b: 2\n", 3, "a.b", "the field twice", "once"),
        ("a: &x [1]\nb: *x\n", 2, "", "an alias (*x)", "the value itself"),
        ("a: &x\n  b: *x\n", 2, "", "an alias (*x)", "the value itself"),
        (
            "x: 1\na: !!python/object/apply:os.system ['exit 1']\n",
            2,
            "",
            "a tag (tag:yaml.org,2002:python/object/apply:os.system)",
            "a plain value without a tag",
        ),
        ("a: !local 1\n", 1, "", "a tag (!local)", "a plain value without a tag"),
        ("a: !!str 1\n", 1, "", "a tag (tag:yaml.org,2002:str)", "a plain value without a tag"),
        ("a: 1\n? [b]\n: 1\n", 2, "", "a key that is not plain text", "text"),
        ("a: 1\nb: 0b_\n", 2, "b", "'0b_'", "a value that can be read"),
        ("a: 1\nb: x\0y\n", 2, "", "the character 0x0000", "characters that YAML allows"),
        ("a: 1\n b: 2\n", 2, "", "broken YAML (mapping values are not allowed here)", "valid YAML"),
        (
            "a: [1,\n",
            2,
            "",
            "broken YAML (while parsing a flow node: expected the node content, but found '<stream end>')",
            "valid YAML",
        ),
        ("[" * 3_000, None, "", "nesting too deep to read", "a few levels of nesting"),
        ("a: " + "{a: " * 2_000, None, "", "nesting too deep to read", "a few levels of nesting"),
    ],
)
def test_what_is_not_plain_yaml_is_told_with_its_line(
    file: Path, text: str, line: int | None, field: str, found: str, expected: str
) -> None:
    file.write_bytes(text.encode())
    assert only_fault(file) == Fault(str(file), field, found, expected, line)


def test_an_alias_bomb_does_not_go_off(file: Path) -> None:
    file.write_text("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 16)))
    before = time.process_time()
    assert only_fault(file) == Fault(str(file), "", "an alias (*a0)", "the value itself", 2)
    assert time.process_time() - before < 1


def test_no_code_runs_while_a_file_is_read(file: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    file.write_text(f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{trace}']]\n")
    assert "a tag" in only_fault(file).found
    assert not trace.exists()


def test_bytes_that_are_not_utf_8_are_told_with_their_line(file: Path) -> None:
    file.write_bytes(b"a: 1\nb: caf\xe9\n")
    assert only_fault(file) == Fault(str(file), "", "the byte 0xe9, not UTF-8", "UTF-8 text", 2)


def test_files_are_bounded(file: Path) -> None:
    size = 10 * 1024 * 1024
    file.write_bytes(b"#" * size)
    assert only_fault(file) == Fault(str(file), "", f"{size} bytes", f"at most {MAX_YAML_BYTES} bytes")
    with pytest.raises(PackError, match=f"found {size} bytes, expected at most {MAX_BYTES} bytes"):
        read_text(file)


def test_what_is_no_readable_file(tmp_path: Path) -> None:
    assert only_fault(tmp_path / "none.yaml") == Fault(str(tmp_path / "none.yaml"), "", "no such file", "a file")
    assert only_fault(tmp_path) == Fault(str(tmp_path), "", "a directory", "a file")
    os.mkfifo(tmp_path / "pipe")
    assert only_fault(tmp_path / "pipe").found == "a device or a pipe", "and nobody waits for somebody to write to it"
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert only_fault(loop).found.startswith("a file that cannot be read (")
    assert only_fault(tmp_path / ("x" * 300)).expected == "a readable file"


def test_a_file_that_may_not_be_read(file: Path) -> None:
    file.write_text("a: 1\n")
    file.chmod(0)
    for folder in file.parents:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o111)
    root = os.geteuid() == 0
    try:
        if root:  # root may read everything, so somebody else tries
            os.seteuid(65534)
        fault = only_fault(file)
    finally:
        if root:
            os.seteuid(0)
    assert fault.found == "a file that cannot be read (Permission denied)"


def test_paths_of_fields() -> None:
    assert dotted(("events", "order", "on", 0)) == "events.order.on[0]"
    assert dotted(("a", "\x1b[31m")) == "a.\\x1b[31m", "nothing in a file can colour a terminal"
    assert dotted(()) == ""
    lines: dict[Path_, int] = {(): 1, ("a",): 2, ("a", "b"): 3}
    assert nearest(lines, ("a", "b", "c", 0)) == 3
    assert nearest(lines, ("x",)) == 1
    assert nearest({}, ("x",)) is None


@pytest.mark.parametrize(
    ("name", "old", "new", "marker", "field", "found", "expected"),
    [
        (PRODUCT_FILE, "    weight: 0\n", "    wieght: 0\n", "wieght", "events.join_failed.wieght",
         "an unknown field", "a known field (did you mean weight?)"),
        (PRODUCT_FILE, "    weight: 0\n", "    qqqq: 0\n", "qqqq", "events.join_failed.qqqq",
         "an unknown field", "a known field"),
        (PRODUCT_FILE, "start: entry\n", "", "name: small", "start", "nothing", "this field"),
        (PRODUCT_FILE, "start: entry\n", "strat: entry\n", "strat", "strat", "an unknown field",
         "start, which is missing"),
        (PRODUCT_FILE, "{ranking: category", "{rankng: category", "rankng", "slates.things.rankng", "an unknown field",
         "ranking, which is missing"),
        (PRODUCT_FILE, "  list: {leave: 0.5}", "  list: {leave: '0.5'}", "'0.5'", "screens.list.leave",
         "'0.5'", "a number"),
        (PRODUCT_FILE, "  list: {leave: 0.5}", "  list: {leave: yes}", "yes", "screens.list.leave", "True", "a number"),
        (PRODUCT_FILE, "  list: {leave: 0.5}", "  list: 7", "list: 7", "screens.list", "7", "a mapping of fields"),
        (PRODUCT_FILE, "  list: {leave: 0.5}", "  list: {leave: .inf}", ".inf", "screens.list.leave",
         "inf", "a finite number"),
        (PRODUCT_FILE, "size: 3}", "size: 3.5}", "size: 3.5", "slates.things.size", "3.5", "a whole number"),
        (PRODUCT_FILE, "size: 3}", "size: 0}", "size: 0", "slates.things.size", "0", "greater than or equal to 1"),
        (PRODUCT_FILE, "ranking: category", "ranking: best", "ranking: best", "slates.things.ranking",
         "'best'", "'popular', 'newest', 'personal', 'category' or 'related'"),
        (PRODUCT_FILE, "clear: [focus]", "clear: focus", "clear: focus", "events.list_viewed.clear",
         "'focus'", "a list"),
        (PRODUCT_FILE, "title: A small product", "title: 5", "title: 5", "title", "5",
         "text (in quotes where it looks like something else)"),
        (PRODUCT_FILE, "    empties_slate: true", "    empties_slate: 1", "empties_slate: 1",
         "problems.nothing_found.empties_slate", "1", "true or false"),
        (PRODUCT_FILE, "counters: {member: 1}", "counters: [member]", "counters: [member]", "counters",
         "['member']", "a mapping of fields"),
        (PRODUCT_FILE, "  entry: {leave: 0.1}", "  Entry: {leave: 0.1}", "Entry", "screens.Entry", "'Entry'",
         "String should match pattern '^[a-z][a-z0-9_]{0,47}$'"),
        (PERSONA_FILE, "share: 1", "share: 1.5", "share: 1.5", "share", "1.5", "less than or equal to 1"),
        (PERSONA_FILE, "voice: Says little.\n", "", "name: visitor", "voice", "nothing", "this field"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_kind(
    small: SmallPack, name: str, old: str, new: str, marker: str, field: str, found: str, expected: str
) -> None:
    small.change(name, old, new)
    fault = small.only_fault()
    assert (fault.file, fault.field, fault.found, fault.expected) == (
        str(small.folder / name), field, found, expected,
    )  # fmt: skip
    assert fault.line == (1 if found == "nothing" else small.fault(name, marker, "", "", "").line)


@pytest.mark.parametrize(("text", "found"), [("", "nothing"), ("- 1\n", "[1]"), ("just text\n", "'just text'")])
def test_a_file_that_is_no_mapping(small: SmallPack, text: str, found: str) -> None:
    small.write(PRODUCT_FILE, text)
    path = str(small.folder / PRODUCT_FILE)
    assert small.only_fault() == Fault(path, "", found, "a mapping of fields", 1)


def test_long_values_are_cut_in_messages(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "clear: [focus]", f"clear: {'x' * 500}")
    assert len(small.only_fault().found) == 80
