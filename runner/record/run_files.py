"""The files of a run folder, read and checked: JSON, what outputs.json says of results, the rows of inputs.parquet."""

import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.base.command import command
from runner.errors import RecordError

if TYPE_CHECKING:
    from runner.model import Scene, StoredObject

_LARGEST_BYTES: Final = 2**24  # read in a fifth of a second
_DEEPEST: Final = 64  # levels


def read_json(file: Path) -> dict[str, Any]:
    """One of a run's JSON files. Raises RecordError if it is missing, empty, no object, or none that a run writes."""
    try:
        _refuse_odd_file(file)
        found = json.loads(file.read_text("utf-8") or "null")
    except FileNotFoundError as error:
        raise RecordError(f"{file} is missing: {_remedy(file.name)}") from error
    except RecursionError as error:
        raise _too_deep(file) from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{file} cannot be read as JSON: {error}; it was cut off or altered") from error
    if found is None:
        raise RecordError(f"{file} is empty: the run ended in its first moment; run it again")
    if not isinstance(found, dict):
        raise RecordError(f"{file} holds a {type(found).__name__}, wanted an object; it was altered")
    if _is_deeper(found, _DEEPEST):
        raise _too_deep(file)
    return found


def _refuse_odd_file(file: Path) -> None:
    state = file.stat()
    if not stat.S_ISREG(state.st_mode):
        raise RecordError(f"{file} is not a regular file; it was altered")
    if state.st_size > _LARGEST_BYTES:
        raise RecordError(f"{file} has {state.st_size} bytes, a run writes at most {_LARGEST_BYTES}; it was altered")


def _too_deep(file: Path) -> RecordError:
    return RecordError(f"{file} is nested deeper than {_DEEPEST} levels, which no run writes; it was altered")


def _is_deeper(tree: object, levels: int) -> bool:
    """Whether more than so many levels of lists and objects lie in each other."""
    level = [tree]
    for _ in range(levels + 1):
        level = [below for one in level for below in _children(one)]
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


@dataclass(frozen=True, slots=True)
class StoredValues:
    """One statistic as it was written; `sha256` is of its decoded values (`runner.output.digest`)."""

    name: str
    sha256: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One result file as it was written."""

    name: str
    bytes: int
    sha256: str
    stage: str
    over: str  # space or time
    values: tuple[StoredValues, ...]


def read_outputs(folder: Path) -> tuple[OutputFile, ...]:
    """What outputs.json says of each result. Raises RecordError if it is missing, or not as runs write it."""
    file = folder / "outputs.json"
    facts = read_json(file)
    try:
        files = tuple(_output_file(one) for one in facts["files"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"{file} is not as runs write it ({type(error).__name__}: {error}); it was altered"
        ) from error
    for one in files:
        if Path(one.name).name != one.name or one.name.startswith("."):
            raise RecordError(f"{file} names '{one.name}', which is not a file of its folder; it was altered")
    return files


def _output_file(facts: Mapping[str, Any]) -> OutputFile:
    values = tuple(
        StoredValues(str(one["name"]), str(one["sha256"]), str(one["dtype"]), tuple(map(int, one["shape"])))
        for one in facts["values"]
    )
    name, digest, stage, over = (str(facts[key]) for key in ("name", "sha256", "stage", "over"))
    return OutputFile(name, int(facts["bytes"]), digest, stage, over, values)


def altered_outputs(folder: Path) -> dict[Path, str]:
    """The result files that are not what outputs.json tells of, each with how; none if it cannot be read."""
    try:
        files = read_outputs(folder)
    except RecordError:
        return {}
    found = {folder / file.name: _alteration(folder / file.name, file.sha256) for file in files}
    return {path: how for path, how in found.items() if how}


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

    `skipped` tells of those what could not be read.
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

    @property
    def beside(self) -> str | None:
        """What stood beside it, in a word, "nothing" included; None where an older run did not record it."""
        return self.sidecars_sha256 or (None if self.sidecars else "nothing")

    def changed_beside(self, scene: "Scene") -> str | None:
        """What is told if the files beside it say something else by now; None if they do not, or it is not known."""
        if self.beside in (None, scene.sidecars_sha256 or "nothing"):
            return None
        names = ", ".join(dict.fromkeys((*self.sidecars, *scene.sidecars)))
        return f"{self.href}: what stands beside it has changed since it was recorded ({names})"

    @property
    def stored(self) -> "StoredObject":
        """The object as the archive held it then."""
        from runner.model import StoredObject  # noqa: PLC0415 - numpy, which lists spare

        return StoredObject(self.href, self.size, self.etag, self.modified, self.time, self.columns, self.sidecars)


_LATER = ("skipped", "groups", "sidecars", "sidecars_sha256")  # columns that older runs did not write


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
