"""The rooms of the package: imports go down, modules form no circle, and ARCHITECTURE.md shows them as they are."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from jobs import ROOT

RUNNER = ROOT / "runner"
PAGE = (RUNNER / "ARCHITECTURE.md").read_text("utf-8")
ROOMS = re.findall(r"^- `(\w+)`:", PAGE.partition("## Rooms")[2], re.MULTILINE)
MODULES = sorted(path for path in RUNNER.rglob("*.py") if "on_path" not in path.parts)  # which is Hydra's, by name
DOOR = {"config", "cli", "sweep", "leaderboard"}  # rooms that speak with Hydra


def name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name(path) for path in MODULES}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Everything that a module imports, at once or later, by full names."""
    return frozenset(_imports(tree_of(path)))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in NAMES else node.module


def test_the_page_lists_every_room() -> None:
    assert sorted(ROOMS) == sorted({room(one) for one in NAMES if room(one)})


def of_rooms_below(path: Path) -> set[str]:
    own = ROOMS.index(room(name(path)) or "api")  # whose names the package gives, once they are asked for
    return {one for one in imports(path) if one in NAMES and room(one) and ROOMS.index(room(one)) > own}


def test_modules_import_only_rooms_above_their_own_on_the_page() -> None:
    assert {name(path): below for path in MODULES if (below := of_rooms_below(path))} == {}


def test_modules_form_no_circle() -> None:
    TopologicalSorter({name(path): imports(path) & (NAMES - {name(path)}) for path in MODULES}).prepare()


def test_hydra_and_omegaconf_stay_at_the_door() -> None:
    within = [path for path in MODULES if room(name(path)) not in DOOR]
    packages = {name(path): {one.split(".")[0] for one in imports(path)} for path in within}
    assert {module for module, used in packages.items() if used & {"hydra", "omegaconf"}} == set()


def test_modules_say_what_they_are_for() -> None:
    assert [name(path) for path in MODULES if not ast.get_docstring(tree_of(path))] == []


@pytest.mark.parametrize("path", re.findall(r"`(\w+/\w+\.py)`", PAGE))
def test_the_page_names_modules_that_there_are(path: str) -> None:
    assert (RUNNER / path).is_file() or (ROOT / path).is_file()


def test_tests_lie_where_their_room_does() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders <= set(ROOMS)
