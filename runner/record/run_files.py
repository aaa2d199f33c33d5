"""The files of a run folder, read and checked: JSON, outputs.json, inputs.parquet."""

import json
import re
import reprlib
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from runner.base.command import command
from runner.errors import RecordError
from runner.record.run import STATUSES

if TYPE_CHECKING:
    from runner.model import Scene, StoredObject

_LARGEST_BYTES: Final = 2**24  # read in a fifth of a second
_DEEPEST: Final = 64  # levels
Kind = TypeVar("Kind", bound=Struct)


def read_json(file: Path) -> dict[str, Any]:
    """One of a run's JSON files. Raises RecordError if it is missing, empty, no object, or none that a run writes."""
    try:
        _refuse_odd_file(file)
        return parsed_json(file.read_text("utf-8"), file)
    except FileNotFoundError as error:
        raise RecordError(f"{file} is missing: {_remedy(file.name)}") from error
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
    return bool(level)


def _children(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _remedy(name: str) -> str:
    remedies = {
        "run.json": f"that is not a run folder; {command()} log ls names them",
        "outputs.json": "run it again with this version, which writes it",
        "inputs.parquet": "it was removed, or the run ended before it had found its scenes; run it again",
    }
    return remedies.get(name, "it was removed")


def typed(file: Path, tree: Mapping[str, Any], kind: type[Kind]) -> Kind:
    """A tree of JSON as a record of this type. Raises RecordError with the path of a value that does not fit."""
    try:
        return msgspec.convert(tree, kind)
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


class StoredValues(Struct, frozen=True):
    """One statistic as it was written; `sha256` is of its decoded values (`runner.output.digest`)."""

    name: str
    sha256: str
    dtype: str
    shape: tuple[int, ...]
    nodata: int | float | str | None = None  # text is nan or inf, which JSON has no numbers for; so below
    count: int | None = None  # of values that are not missing
    minimum: int | float | str | None = field(default=None, name="min")
    maximum: int | float | str | None = field(default=None, name="max")


class OutputFile(Struct, frozen=True):
    """One result file as it was written."""

    name: str
    bytes: int
    sha256: str
    stage: str
    over: Literal["space", "time"]
    values: tuple[StoredValues, ...]


class Outputs(Struct, frozen=True, kw_only=True):
    """`outputs.json`: every result file with its hash, and the hashes of its values."""

    schema: Literal[1] = 1
    files: tuple[OutputFile, ...]


def read_outputs(folder: Path) -> tuple[OutputFile, ...]:
    """The result files that outputs.json lists. Raises RecordError if it is missing or altered."""
    file = folder / "outputs.json"
    files = typed(file, read_json(file), Outputs).files
    for output in files:
        if Path(output.name).name != output.name or output.name.startswith("."):
            raise RecordError(f"{file} names '{output.name}', which does not lie in its folder; it was altered")
    return files


def altered_outputs(folder: Path) -> dict[Path, str]:
    """The result files that have changed since they were written, each with the change; none without outputs.json."""
    try:
        files = read_outputs(folder)
    except RecordError:
        return {}
    alterations = {folder / file.name: _alteration(folder / file.name, file.sha256) for file in files}
    return {path: text for path, text in alterations.items() if text}


def _alteration(path: Path, sha256: str) -> str:
    from runner.output.digest import file_sha256  # noqa: PLC0415 - numpy, which lists spare

    try:
        return "" if file_sha256(path) == sha256 else f"{path} has changed since it was written"
    except FileNotFoundError:
        return f"{path} is gone"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """One object as a run found it: a scene of its stack, or (not `used`) left out for a `reason`.

    `skipped` marks one that was left out because it could not be read.
    """

    href: str
    scene: str | None
    time: datetime | None
    used: bool
    reason: str | None
    size: int | None
    etag: str | None
    modified: datetime | None
    skipped: bool = False
    columns: tuple[tuple[str, str], ...] = ()  # its named groups, and columns of a manifest
    sidecars: tuple[str, ...] = ()
    sidecars_sha256: str | None = None
    mask_href: str | None = None
    mask_etag: str | None = None
    mask_size: int | None = None
    mask_modified: datetime | None = None

    @property
    def objects(self) -> list[tuple[str, str | None]]:
        """The href and the ETag of it, and of the mask in a file of its own."""
        return [(self.href, self.etag), *([(self.mask_href, self.mask_etag)] if self.mask_href else [])]

    @property
    def versions(self) -> list[tuple[str, str, int | None]]:
        """The href, the ETag or else the time of the last change, and the size of each of these."""
        own = self.href, self.etag or str(self.modified), self.size
        mask = self.mask_href and (self.mask_href, self.mask_etag or str(self.mask_modified), self.mask_size)
        return [own, mask] if mask else [own]

    @property
    def beside(self) -> str | None:
        """The digest of the files beside it, or "nothing"; None if it was not recorded."""
        return self.sidecars_sha256 or (None if self.sidecars else "nothing")

    def changed_beside(self, scene: "Scene") -> str | None:
        """A message if the files beside it have changed; None if they have not, or if that is unknown."""
        if self.beside in (None, scene.sidecars_sha256 or "nothing"):
            return None
        names = ", ".join(dict.fromkeys((*self.sidecars, *scene.sidecars)))
        return f"{self.href}: what stands beside it has changed since it was recorded ({names})"

    @property
    def stored(self) -> "StoredObject":
        """The object as the archive held it then."""
        from runner.model import StoredObject  # noqa: PLC0415 - numpy, which lists spare

        mask = self.mask_href and StoredObject(self.mask_href, self.mask_size, self.mask_etag, self.mask_modified)
        version = self.size, self.etag, self.modified
        return StoredObject(self.href, *version, self.time, self.columns, self.sidecars, mask=mask or None)


_MASK = ("mask_href", "mask_etag", "mask_size", "mask_modified")
_LATER = ("skipped", "groups", "sidecars", "sidecars_sha256", *_MASK)  # columns that older runs did not write


def read_inputs(folder: Path) -> tuple[RecordedInput, ...]:
    """The rows of inputs.parquet, scenes in their order first. Raises RecordError if they cannot be read."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - a quarter of a second that lists spare
    from pyarrow import ArrowException  # noqa: PLC0415 - as above

    file = folder / "inputs.parquet"
    columns = ["href", "scene", "datetime", "used", "reason", "size", "etag", "modified"]
    try:
        with pq.ParquetFile(file) as stored:
            columns += [name for name in _LATER if name in stored.schema_arrow.names]
            table = stored.read(columns)
        return tuple(_recorded_input(row) for row in table.to_pylist())
    except FileNotFoundError as error:
        raise RecordError(f"{file} is missing: {_remedy(file.name)}") from error
    except (OSError, KeyError, ValueError, AttributeError, ArrowException) as error:
        raise RecordError(f"{file} cannot be read: {error}; it was cut off or altered") from error


def _recorded_input(row: dict[str, Any]) -> RecordedInput:
    groups, sidecars = json.loads(row.pop("groups", None) or "{}"), row.pop("sidecars", None) or ()
    columns = tuple((str(name), str(value)) for name, value in groups.items())
    return RecordedInput(time=row.pop("datetime"), columns=columns, sidecars=tuple(sidecars), **row)
