"""A run folder read into records; what is missing or cannot be read is named, and the rest goes on."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from runner.errors import RecordError
from runner.output.overviews import LARGEST_SHOWN
from runner.record.claim import left_nothing
from runner.record.run_files import read_outputs
from runner.record.run_folder import read_run
from runner.record.run_record import NONE_WRITTEN, Overviews
from runner.report.passes import passes_of
from runner.report.picture import read_bands, read_rasters
from runner.report.records import (
    EMPTY,
    Contents,
    Event,
    Gap,
    InputRow,
    Member,
    Multiples,
    Raster,
    Run,
)
from runner.report.run_tables import read_inputs, read_scenes, read_tasks, read_zones

_OWN_TABLES: Final = ("inputs.parquet", "trace.parquet")
_SMALL: Final = 512  # pixels of the longer side of all pictures but the first: the smallest overview as it is
_MULTIPLE, _MOST_MULTIPLES, _FEW_MULTIPLES = 200, 24, 12  # pixels of a picture of a group, and pictures of a statistic
_MOST_EVENTS = 50
_ABSENT: Final = "is not there"
_TOLD_ABOVE: Final = re.compile(r"failed$|interrupted, exit code")  # by how the run ended
_LOSES: Final = {
    "run.json": ", so how the run ended, its config and its environment are unknown",
    "inputs.parquet": ", so there is no list of inputs",
    "trace.parquet": ", so there is no timeline of tasks",
    "outputs.json": ", so there are no checksums",
}
Read = TypeVar("Read")


class Reader:
    """Reads the files of a folder, and keeps in mind what it could not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gaps: list[Gap] = []

    def read(self, name: str, parse: Callable[[Path], Read]) -> Read | None:
        """The file as `parse` reads it; None, and a gap, if it is missing or damaged."""
        from pyarrow import ArrowException  # noqa: PLC0415 - a run has it by now, `python -m runner.log` may not
        from rasterio.errors import RasterioError  # noqa: PLC0415 - as above

        if self.lacks(name):
            return None
        try:
            return parse(self.folder / name)
        except (OSError, ValueError, ArrowException, RasterioError, RecordError) as error:
            self.refuse(name, error)
            return None

    def lacks(self, name: str) -> bool:
        """True, and a gap, if a file is missing."""
        missing = not (self.folder / name).is_file()
        if missing:
            self.gaps.append(Gap(name, f"{_ABSENT}{_LOSES.get(name, '')}"))
        return missing

    def refuse(self, name: str, error: Exception) -> None:
        """Keep in mind that a file, or a band of one, cannot be read: once, however often it is asked for."""
        gap = Gap(name, f"cannot be read{_LOSES.get(name, '')}: {error}")
        self.gaps += [] if gap in self.gaps else [gap]

    def run(self) -> Run:
        """The record of the run, without its passes."""
        run = self.read("run.json", lambda path: read_run(path.parent))
        return Run(run.record, run.status) if run else Run(EMPTY)

    def inputs(self) -> list[InputRow] | None:
        """The objects that were found."""
        return self.read("inputs.parquet", read_inputs)

    def contents(self, run: Run, inputs: list[InputRow] | None, **results: Any) -> Contents:
        """The contents of the folder, when all of its files have been read."""
        known = {gap.name for gap in self.gaps}
        present = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        names = [name for name in run.record.outputs if name not in present | known]
        lost = [Gap(name, f"{_ABSENT}, though run.json names it") for name in names]
        unended = run.status in ("FAILED", "INTERRUPTED", "KILLED", "RUNNING")  # which explains what is not there
        gaps = [gap for gap in self.gaps if not (unended and gap.why.startswith(_ABSENT))]
        return Contents(
            name=self.folder.name,
            path=str(self.folder.resolve()),
            left_nothing=left_nothing(self.folder),
            run=run,
            inputs=inputs,
            events=_events(self.folder / "events.jsonl"),
            gaps=[*gaps, *lost],
            unwritten=[gap.name for gap in self.gaps if gap not in gaps],
            **results,
        )

    def named(self, ending: str) -> list[str]:
        """Files with this ending, without those that are being written."""
        return sorted(path.name for path in self.folder.glob(f"*{ending}") if not path.name.startswith("."))


def read_folder(folder: Path, overviews: Overviews = NONE_WRITTEN) -> Contents:
    """The contents of the folder of a run of one stack; `overviews` spare reading those of rasters just written."""
    reader = Reader(folder)
    run = reader.run()
    inputs = reader.inputs()
    tasks = reader.read("trace.parquet", read_tasks)
    names = [name for name in reader.named(".parquet") if name not in _OWN_TABLES]
    zonal = [name for name in names if over(run, name) == "zones"]
    tables = [reader.read(name, read_scenes) for name in names if name not in zonal]
    zones = [reader.read(name, read_zones) for name in zonal]
    outputs = reader.read("outputs.json", lambda path: read_outputs(path.parent))
    of_groups = [
        Member(file.stage, file.name, band, value)
        for file in outputs or ()
        for band, value in enumerate(file.values, start=1)
        if value.group
    ]
    return reader.contents(
        replace(run, passes=passes_of(run.record, tasks)),
        inputs=inputs,
        tasks=tasks,
        tables=[table for table in tables if table is not None],
        rasters=_rasters(reader, {member.file for member in of_groups}, overviews),
        multiples=_multiples(reader, of_groups),
        zones=[table for table in zones if table is not None],
        outputs=outputs,
    )


def over(run: Run, name: str) -> str:
    """The axes that the stage of a table reduces, by the config of the run; empty if that does not say."""
    stages = run.record.config.get("stages")
    stage = stages.get(Path(name).stem) if isinstance(stages, dict) else None
    return str(stage.get("over")) if isinstance(stage, dict) else ""


# --- rasters --------------------------------------------------------------------------------------------------------


def _rasters(reader: Reader, of_groups: Collection[str], overviews: Overviews) -> list[Raster]:
    """The rasters but those of groups, a mean before the others, counts behind; the first has the large picture."""
    alone = (name for name in reader.named(".tif") if name not in of_groups)
    names = sorted(alone, key=lambda name: (not name.endswith("_mean.tif"), name.endswith("_count.tif"), name))
    read: list[Raster] = []
    for name in names:
        sides = (_SMALL if read else LARGEST_SHOWN, _SMALL)
        written = overviews.get(name, ())
        read += reader.read(name, partial(read_bands, sides=sides, refused=reader.refuse, overviews=written)) or []
    return read


def _multiples(reader: Reader, members: Sequence[Member]) -> list[Multiples]:
    """The rasters of groups, statistic by statistic; of many groups some have pictures, evenly chosen."""
    found: list[Multiples] = []
    for (stage, statistic), of_statistic in groupby(members, lambda member: (member.stage, member.values.name)):
        own = tuple(of_statistic)
        most = _MOST_MULTIPLES if len(found) == 0 or statistic == "mean" else _FEW_MULTIPLES
        numbers = np.unique(np.linspace(0, len(own) - 1, min(most, len(own))).round().astype(int))
        chosen = [own[number] for number in numbers.tolist()]
        there = {file for file in sorted({member.file for member in chosen}) if not reader.lacks(file)}
        bands = [(reader.folder / member.file, member.band) for member in chosen if member.file in there]
        found.append(Multiples(stage, statistic, own, read_rasters(bands, _MULTIPLE, reader.refuse)))
    return found


# --- the log ----------------------------------------------------------------------------


def _events(path: Path) -> list[Event]:
    """The last warnings and errors of the log; a line that a kill cut short is passed over."""
    if not path.is_file():
        return []
    events = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        event = _event(line)
        if event and event.level in ("WARNING", "ERROR", "CRITICAL") and not _TOLD_ABOVE.match(event.message):
            events.append(event)
    return events[-_MOST_EVENTS:]


def _event(line: str) -> Event | None:
    try:
        event = json.loads(line)
        return Event(*(str(event[name]) for name in ("time", "level", "event")))
    except (ValueError, KeyError, TypeError):
        return None
