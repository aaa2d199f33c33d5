"""JSON files of a run folder, read as records and checked: each error names the file, the path in it and the value."""

import json
import re
import reprlib
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from runner.base.command import command
from runner.base.conversion import converted
from runner.errors import RecordError
from runner.record.run import STATUSES

_LARGEST_BYTES: Final = 2**24  # read in a fifth of a second
_DEEPEST: Final = 64  # levels
Kind = TypeVar("Kind", bound=Struct)


def read_json(file: Path) -> dict[str, Any]:
    """One of a run's JSON files. Raises RecordError if it is missing, empty, no object, or none that a run writes."""
    try:
        _refuse_odd_file(file)
        return parsed_json(file.read_text("utf-8"), file)
    except FileNotFoundError as error:
        raise missing_file(file) from error
    except (OSError, ValueError) as error:
        raise _no_json(file, error) from error


def parsed_json(text: str | bytes, file: Path) -> dict[str, Any]:
    """The text of such a file, wherever it lies. Raises RecordError as `read_json`."""
    try:
        tree = json.loads(text or "null")
    except RecursionError as error:
        raise _too_deep(file) from error
    except ValueError as error:
        raise _no_json(file, error) from error
    if tree is None:
        raise RecordError(f"{file} is empty: the run ended in its first moment; run it again")
    if not isinstance(tree, dict):
        raise RecordError(f"{file} holds a {type(tree).__name__}, wanted an object; it was altered")
    if _is_deeper(tree, _DEEPEST):
        raise _too_deep(file)
    return tree


def _refuse_odd_file(file: Path) -> None:
    state = file.stat()
    if not stat.S_ISREG(state.st_mode):
        raise RecordError(f"{file} is not a regular file; it was altered")
    if state.st_size > _LARGEST_BYTES:
        raise RecordError(f"{file} has {state.st_size} bytes, a run writes at most {_LARGEST_BYTES}; it was altered")


def _no_json(file: Path, error: Exception) -> RecordError:
    return RecordError(f"{file} cannot be read as JSON: {error}; it was cut off or altered")


def _too_deep(file: Path) -> RecordError:
    return RecordError(f"{file} is nested deeper than {_DEEPEST} levels, which no run writes; it was altered")


def _is_deeper(tree: object, levels: int) -> bool:
    """Whether lists and objects are nested in more than this number of levels."""
    level = [tree]
    for _ in range(levels + 1):
        level = [below for node in level for below in _children(node)]
        if not level:
            return False
    return True


def _children(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def missing_file(file: Path) -> RecordError:
    """The error for a file of a run folder that is not there, with what to do."""
    remedies = {
        "run.json": f"that is not a run folder; {command()} log ls names them",
        "outputs.json": "run it again with this version, which writes it",
        "inputs.parquet": "it was removed, or the run ended before it had found its scenes; run it again",
    }
    return RecordError(f"{file} is missing: {remedies.get(file.name, 'it was removed')}")


def typed(file: Path, tree: Mapping[str, Any], kind: type[Kind]) -> Kind:
    """A tree of JSON as a record of this type. Raises RecordError with the path of a value that does not fit."""
    try:
        return converted(tree, kind)
    except msgspec.ValidationError as error:
        raise RecordError(f"{file}: {_misfit(str(error), tree)}; it was altered") from error


_TYPES: Final = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false",
                 "array": "a list", "object": "an object", "datetime": "a time"}  # fmt: skip


def read_record(file: Path, kind: type[Kind], schema: int) -> Kind:
    """A record of this schema. Raises RecordError if the file is missing, altered, or of another schema."""
    tree = read_json(file)
    if tree.get("schema") != schema:
        raise RecordError(
            f"{file} has schema {tree.get('schema')}, this version reads {schema}; use the version that wrote it, or a "
            "newer one"
        )
    return typed(file, tree, kind)


def _misfit(problem: str, tree: object) -> str:
    """The problem that msgspec found, with the value that is there; msgspec names the path and the type."""
    problem, _, path = problem.replace("`", "").partition(" - at ")
    keys = re.findall(r"[^.\[\]$]+", path)
    if "..." in path or not keys:  # a key that msgspec does not name, or the whole
        return f"{path}: {problem}".removeprefix(": ")
    if "missing" in problem:
        return f"{path}: {problem}"
    for key in keys:
        tree = tree[int(key)] if isinstance(tree, list) else tree.get(key) if isinstance(tree, dict) else None
    return f"{path} is {reprlib.repr(tree)}, wanted {_wanted(problem)}"


def _wanted(problem: str) -> str:
    """The end of the sentence: what belongs there."""
    if "RFC3339" in problem or "timezone" in problem:
        return "a time with its zone"
    if "enum" in problem:
        return f"one of {', '.join(STATUSES)}"
    expected = problem.removeprefix("Expected ").partition(", got")[0]
    for name, text in _TYPES.items():
        expected = re.sub(rf"\b{name}\b", text, expected)
    return expected.replace(" | ", " or ")
