"""`outputs.json` read back: the result files of a run, and which of them have changed."""

from pathlib import Path
from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

from runner.errors import RecordError
from runner.record.json_files import read_json, typed


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
    group: str | UnsetType = UNSET  # of the scenes that they are of, by its label; not there without groups

    @property
    def layer(self) -> str:
        """What they are among those of a stage: `mean`, or `mean of 2020-01`."""
        return f"{self.name} of {self.group}" if self.group else self.name


class OutputFile(Struct, frozen=True):
    """One result file as it was written."""

    name: str
    bytes: int
    sha256: str
    stage: str
    over: Literal["space", "time", "zones"]
    values: tuple[StoredValues, ...]

    @property
    def of_groups(self) -> tuple[str, ...]:
        """The stage and the statistics of which it has groups, equal for the files of all groups; nothing otherwise."""
        names = dict.fromkeys(value.name for value in self.values if value.group)
        return (self.stage, *names) if names else ()


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
