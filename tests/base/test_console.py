"""Every text for people goes through one door, to the console or into a file, where secrets stay behind."""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobs import ROOT

from runner.base import console
from runner.base.atomic import update_json, write_json, write_text

CANARY = "canary-4711-secret"
MODULES = sorted(path for path in (ROOT / "runner").rglob("*.py") if path.parent.name != "base")

WRITERS = {"write_text", "write_bytes", "print", "print_exc", "FileHandler", "Console"}
STREAMS = {("stdout", "write"), ("stderr", "write"), ("OmegaConf", "save"), ("json", "dump"), ("yaml", "dump")}
NOT_FOR_PEOPLE = {
    "checkpoint/array_file.py: open": "sums, with a checksum",
    "checkpoint/store.py: write_text": "addresses of objects, by which finished tasks are found again",
    "demo/archive.py: open": "pixels",
    "demo/archive.py: write_text": "sizes of the demo's files, which are compared",
    "demo/server.py: stdout.write": "the address of our own server, for the process that started it",
    "leaderboard/best_config.py: write_text": "a config that is composed once, in a temporary folder",
    "output/cog_file.py: open": "pixels",
    "record/claim.py: open": "random bytes",
    "record/events.py: FileHandler": "lines of the log, which its formatters redact",
    "record/uploaded.py: write_text": "the bytes that lie in the bucket too: addresses and hashes, which are compared",
    "report/frame.py: yaml.dump": "a text of the page, which is written through the door",
    "report/template_cache.py: write_bytes": "the code of a template of ours",
    "source/polygon_files.py: write_bytes": "a file of polygons of a bucket, which GDAL reads in a temporary folder",
    "sweep/process.py: open": "lines of a job's console, each redacted as it comes",
}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)


# --- the door ---------------------------------------------------------------------------------------------------------


def ways_out(path: Path) -> Iterator[str]:
    """The calls of a module that write a text past the door."""
    place = path.relative_to(ROOT / "runner")
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    ours = {alias.name for node in nodes for alias in imported(node)}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            yield from (f"{place}: {called(base)[1]}" for base in node.bases if called(base)[1] in WRITERS)
        elif isinstance(node, ast.Call):
            owner, name = called(node.func)
            if (owner, name) in STREAMS:
                yield f"{place}: {owner}.{name}"
            elif name in WRITERS and not (owner == "" and name in ours):
                yield f"{place}: {name}"
            elif name == "open" and writes(node):
                yield f"{place}: open"


def imported(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runner.base.") else []


def called(function: ast.expr) -> tuple[str, str]:
    """(owner, name) of what is called: the last name before the dot, and the one behind it."""
    if isinstance(function, ast.Attribute):
        return called(function.value)[1], function.attr
    return "", function.id if isinstance(function, ast.Name) else ""


def writes(call: ast.Call) -> bool:
    """Tell if a file is opened for writing."""
    modes = [*call.args[:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") and len(str(mode.value)) < 4
               for mode in modes)  # fmt: skip


def test_nothing_is_written_or_printed_past_the_door_but_what_is_not_for_people() -> None:
    assert {way for path in MODULES for way in ways_out(path)} == set(NOT_FOR_PEOPLE)


@pytest.mark.parametrize(
    "line",
    [
        "print(x)",
        "sys.stdout.write(x)",
        "path.write_text(x)",
        "Path(a, b).write_bytes(x)",
        "open(path, 'w')",
        "path.open(mode='a')",
        "Console().print(x)",
        "OmegaConf.save(x, path)",
    ],
)
def test_a_way_past_the_door_is_seen(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "runner").mkdir()
    module = tmp_path / "runner/module.py"
    module.write_text(line)
    assert list(ways_out(module))


# --- behind it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "show",
    [
        console.tell,
        console.say,
        console.complain,
        console.say_page,
        lambda text: console.say_json({"a": [text]}),
        lambda text: console.tell_notes(with_note(text)),
        lambda text: console.tell_traceback(ValueError(text)),
        lambda text: console.show_table(console.table(text, ["a"], [[text]])),
    ],
)
def test_a_secret_is_not_shown(show: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    show(f"the server said {CANARY} is wrong")
    shown = "".join(capsys.readouterr())
    assert "the server said [redacted] is wrong" in shown
    assert CANARY not in shown


def with_note(text: str) -> Exception:
    error = ValueError()
    error.add_note(text)
    return error


def test_progress_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress_bar(CANARY) as update:
        update(1, 1)
    assert "[redacted]: 1 of 1" in capsys.readouterr().err


def test_json_with_a_name_that_looks_like_a_header_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    console.say_json({"cookie": None, "authorization": 0})
    assert json.loads(capsys.readouterr().out) == {"cookie": None, "authorization": 0}


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, f"a {CANARY}"),
        lambda path: write_json(path, {"a": f"a {CANARY}"}),
        lambda path: update_json(path, {"a": f"a {CANARY}"}),
    ],
)
def test_a_secret_is_not_written(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "file.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
    text = (tmp_path / "file.json").read_text()
    assert "a [redacted]" in text
    assert CANARY not in text


def test_half_of_a_surrogate_pair_does_not_keep_a_page_from_being_written(tmp_path: Path) -> None:
    write_text(tmp_path / "page.html", "\ud83d")
    assert (tmp_path / "page.html").read_text() == r"\ud83d"
