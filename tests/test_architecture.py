"""Imports point one way: down the list of layers, never up."""

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import ROOT

LAYERS = [
    {"errors", "compiled", "compile_clock", "heap", "signals", "streams"},
    {"settings", "cgroup", "command"},
    {"memory"},
    {"liveness", "watch"},
    {"read"},
    {"model"},
    {"reduce"},
    {"source"},
    {"threads", "cluster"},
    {"plan"},
    {"engine"},
    {"output"},
    {"log"},
    {"console"},
    {"summary"},
    {"job"},
    {"vocabulary", "bounded_yaml", "setting_fields"},
    {"messages", "origins", "reference", "schema"},
    {"overrides", "arguments", "hydra_node", "interpolations", "config_folders"},
    {"loader"},
    {"config"},
    {"recompose"},
    {"compared"},
    {"sweep"},
    {"cli"},
    {"verbs"},
    {"__main__"},
]
# Of runner.log; the rest of it is written, or read, far below.
COMPARED = {"compare", "listing", "values", "verb"}  # runs held against each other, by verbs and for a sweep
VERBS = {"__main__", "again", "cli", "diff", "leaderboard", "rerun", "resume", "sample", "show", "verify"}
DOOR = {"bounded_yaml", "cli", "config", "config_folders", "hydra_node", "loader", "messages", "overrides", "recompose"}
AT_THE_DOOR = {"best.py", "cog_stack_runner.py", "compose.py", "search.py"}  # of a sweep: what speaks with Hydra
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
MODULES = sorted((ROOT / "runner").rglob("*.py"))


def room(path: Path) -> str:
    return room_of(path.relative_to(ROOT / "runner").with_suffix("").parts)


def room_of(parts: Sequence[str]) -> str:
    """What a run leaves is written far below; the verbs that look at it, and do it again, stand above all."""
    if parts[0] == "log" and len(parts) > 1:
        return "verbs" if parts[1] in VERBS else "compared" if parts[1] in COMPARED else "log"
    return parts[0]


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    names |= {
        f"runner.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "runner"
        for alias in node.names
    }
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_layers_below(path: Path) -> None:
    rooms = {room_of(name.split(".")[1:]) for name in imported(path) if name.startswith("runner.")}
    above = {name for name in rooms if RANK[name] > RANK.get(room(path), len(LAYERS))}
    assert not above


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_hydra_and_omegaconf_stay_at_the_door(path: Path) -> None:
    if room(path) not in DOOR and path.name not in AT_THE_DOOR:
        assert not {name.split(".")[0] for name in imported(path)} & {"hydra", "omegaconf"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
