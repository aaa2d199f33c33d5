"""The folder of a run: claimed for one run, and refused to a run that would overwrite the files of others."""

import os
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

from runner.base.atomic import final_name, remove_asides
from runner.base.command import command
from runner.base.humanize import listed
from runner.errors import OutputError, RecordError
from runner.output.names import group_pattern, output_names, sidecar_names
from runner.record.lock import held
from runner.record.run import parted_by
from runner.record.run_folder import RunFolder, read_run
from runner.record.uploaded import UPLOADED
from runner.settings import Layout, Over

RECORD: Final = "run.json"
_RESERVE: Final = ".reserve"
_RESERVE_BYTES: Final = 2**18  # several times what run.json takes
_FILES: Final = (
    RECORD, "run.log", "events.jsonl", "trace.parquet", "inputs.parquet", "outputs.json",
    "report.html", "partials", ".hydra", UPLOADED, _RESERVE,
)  # fmt: skip
_OF_AN_ARCHIVE: Final = ("stacks", "stacks.parquet")
ITEM: Final = "item.json"  # STAC's, of a stack
COLLECTION: Final = "collection.json"  # the same of an archive
_BELOW: Final = (".hydra/config.yaml", ".hydra/overrides.yaml")
_LEFT: Final = ("inputs.parquet", "outputs.json", "partials", "stacks")  # of a run that found its scenes
_TOLD: Final = ("run.log", "events.jsonl", "trace.parquet", "report.html", _RESERVE, *_BELOW)  # of one that did not


def claim(folder: Path, config: Mapping[str, Any]) -> "Reserve":
    """Make the folder and its run.json, which only one run can do. Raises OutputError, before anything is written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        _refuse_files_of_others(folder, config)
        reserve = Reserve(folder)
        (folder / RECORD).touch(exist_ok=False)
    except FileExistsError as error:
        if not folder.is_dir():
            raise OutputError(f"{folder} is a file; set output.dir to a folder") from error
        raise OutputError(
            f"{folder} holds a run already; choose another output.dir, drop output.dir, or go on with that run: "
            f"{command()} log resume {shlex.quote(str(folder))}"
        ) from error
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}; set output.dir to a folder you can write to") from error
    return reserve


def reclaim(folder: Path, config: Mapping[str, Any], earlier: Mapping[str, Any]) -> "Reserve":
    """Take over the folder of a run that is resumed: what an attempt that was killed wrote aside is removed.

    So are results that it wrote to their end and that this config does not have: they would lie beside its own.
    Raises OutputError for a link in place of a file, which would lead out of the folder, and for files of others that
    the `earlier` config would not have written and this one would.
    """
    for name in (*_names(config), *_of_groups(_entries(folder), config), *_BELOW):
        if (folder / name).is_symlink():
            raise OutputError(f"{folder / name} is a link, and a run writes only into its own folder; remove the link")
    earlier_names = _known_names(earlier, folder)
    names = (*_names(config), *_of_groups(_entries(folder), config))
    _refuse_others(folder, [name for name in names if name not in earlier_names], config)
    remove_asides(folder, earlier_names)
    _remove_results(folder, earlier_names - {*_names(config), *_FILES, *_OF_AN_ARCHIVE})
    try:
        return Reserve(folder)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}; free some space there or make it writable") from error


def _remove_results(folder: Path, names: Iterable[str]) -> None:
    """Remove the files of these names that carry the mark of results, as far as may be; those of others stay."""
    unwanted = set(names)
    for path in folder.iterdir():
        if path.name in unwanted and (path.name in (ITEM, COLLECTION) or _is_result(path)):
            with suppress(OSError):
                path.unlink()


def _is_result(path: Path) -> bool:
    """True for a table or a raster that a run has written."""
    from runner.output.read_back import read_provenance  # noqa: PLC0415 - numpy and GDAL, for what is left over alone

    try:
        return "software" in read_provenance(path, "time" if path.suffix == ".tif" else "space")
    except RecordError:
        return False


def refuse_emptied(folder: Path) -> None:
    """Raise OutputError if somebody has removed what a run under way had written: its record would have gaps."""
    if not (folder / "inputs.parquet").is_file():
        raise OutputError(
            f"{folder}: inputs.parquet was removed during the run, perhaps with others; run it again, in a folder that "
            "nobody clears"
        )


def files_written(run: RunFolder) -> list[str]:
    """The files that a complete run has left, by their paths in its folder: of an archive its own, not its stacks'."""
    kept_here = (_RESERVE, UPLOADED)
    paths = (run.path / name for name in (*_names(run.config), *_BELOW) if name not in kept_here)
    written = [path.relative_to(run.path).as_posix() for path in paths if path.is_file() and not path.is_symlink()]
    of_groups = _of_groups(run.record.outputs, run.config)
    return [*written, *(name for name in of_groups if name not in written and (run.path / name).is_file())]


def left_nothing(folder: Path) -> bool:
    """Whether the run in a folder ended before its inputs were recorded, so that nothing of it is of use."""
    try:
        return not _any_of(folder, _LEFT) and read_run(folder).status in ("FAILED", "INTERRUPTED", "KILLED")
    except RecordError:
        return False


def remove_if_nothing_left(folder: Path) -> None:
    """Remove the folder of a run that left nothing of use; what others have put there stays."""
    with suppress(OSError, RecordError):
        _clear(folder)
        folder.rmdir()


def clear_unbegun(folder: Path) -> None:
    """Remove what a run leaves in its folder that was killed in its first moment, before its record was written."""
    record = folder / RECORD
    if not folder.is_dir() or record.is_symlink() or (record.exists() and record.stat().st_size):
        return
    for path in (folder / _RESERVE, *(path for path in folder.iterdir() if final_name(path.name) == RECORD)):
        path.unlink(missing_ok=True)
    for name in ("run.log", "events.jsonl", RECORD):
        if (folder / name).is_file() and not (folder / name).stat().st_size:
            (folder / name).unlink()


def _clear(folder: Path) -> None:
    """Remove the record of a run that left nothing, so that its folder is free again."""
    if not left_nothing(folder) or any((folder / name).is_symlink() for name in (RECORD, *_FILES)):
        return
    with held(folder):
        if left_nothing(folder):  # still, since another may have been faster
            for name in (*_TOLD, RECORD):
                (folder / name).unlink(missing_ok=True)
            for path in (folder / ".hydra").glob(".*.part*"):
                if f".hydra/{final_name(path.name)}" in _BELOW:  # it was killed while it wrote this
                    path.unlink(missing_ok=True)
            with suppress(OSError):  # of a folder that holds more
                (folder / ".hydra").rmdir()


def _any_of(folder: Path, names: Iterable[str]) -> bool:
    return any(os.path.lexists(folder / name) for name in names)


def _refuse_files_of_others(folder: Path, config: Mapping[str, Any]) -> None:
    if os.path.lexists(folder / RECORD):
        raise FileExistsError  # it is a run's own
    _refuse_others(folder, [*_names(config), *_of_groups(_entries(folder), config)], config)


def _refuse_others(folder: Path, names: Iterable[str], config: Mapping[str, Any]) -> None:
    """Raise OutputError for files that would be written over, or be read as a part of a raster."""
    existing = [name for name in names if os.path.lexists(folder / name)]
    if existing:
        raise OutputError(
            f"{folder} holds {listed(existing, 3)}, which the run would write over and which no run has left there; "
            "move them away, or choose another output.dir"
        )
    owners = {sidecar: name for name in _names(config) for sidecar in sidecar_names(name)}
    sidecars = [path.name for path in sorted(folder.iterdir()) if path.name.lower() in owners]
    if sidecars:
        raise OutputError(
            f"{folder} holds {listed(sidecars, 3)}, which would be read as a part of {owners[sidecars[0].lower()]}; "
            "move them away, or choose another output.dir"
        )


def _names(config: Mapping[str, Any]) -> Iterable[str]:
    """The names of all files that a run of this config writes."""
    stages, output = config.get("stages") or {}, config.get("output") or {}
    described, layout = bool(output.get("stac")), Layout[output.get("layout") or "files"]
    if parted_by(config):
        tables = [f"{name}.parquet" for name, stage in stages.items() if Over[stage["over"]].makes_table]
        return dict.fromkeys([*_FILES, *_OF_AN_ARCHIVE, *([COLLECTION] if described else []), *tables])
    results = (
        output_names(name, Over[stage["over"]], stage["statistics"], layout)
        for name, stage in stages.items()
        if layout is Layout.bands or not stage.get("group_by")
    )
    return dict.fromkeys(chain(_FILES, [ITEM] if described else [], *results))


def _entries(folder: Path) -> list[str]:
    """The names of what lies in a folder, also by which files written aside will be called."""
    return sorted(final_name(path.name) or path.name for path in folder.iterdir())


def _of_groups(names: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """Those of some names that a run of this config may give to the rasters of its groups."""
    layout = Layout[(config.get("output") or {}).get("layout") or "files"]
    stages = (config.get("stages") or {}).items() if not parted_by(config) and layout is Layout.files else ()
    patterns = [
        group_pattern(name, statistic)
        for name, stage in stages
        if stage.get("group_by")
        for statistic in stage["statistics"]
    ]
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _known_names(config: Mapping[str, Any], folder: Path) -> set[str]:
    """The names for a recorded config, which may have been altered."""
    try:
        return {*_names(config), *_of_groups(_entries(folder), config)}
    except (AttributeError, KeyError, TypeError):
        return set(_FILES)


@cache
def _noise() -> bytes:
    """Bytes that take room on a file system that compresses too."""
    return os.urandom(_RESERVE_BYTES)


class Reserve:
    """Some of the disk, kept until the end, so that a run that filled it can still say that it failed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _RESERVE
        try:
            with self._path.open("wb") as file:
                file.write(_noise())
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Give it back."""
        self._path.unlink(missing_ok=True)
