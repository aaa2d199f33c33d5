"""The stacks of an earlier run of an archive, to be run again from the very objects that it recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.base.humanize import listed
from runner.errors import RecordError
from runner.job import Find
from runner.record.input_rows import RecordedInput, counted_inputs
from runner.record.recorded_inputs import recorded_inputs
from runner.record.run_folder import RunFolder, read_run
from runner.record.stacks import FOLDER, OUTSIDE, STACKS, StackRow, left_out_by_reason, read_stacks
from runner.source.names import Candidate
from runner.source.parts import Part
from runner.source.scenes import Archive


@dataclass(frozen=True, slots=True)
class RecordedStacks:
    """Stacks with the way to their recorded scenes; `notes` names those of which no scenes were recorded."""

    parts: tuple[Part, ...]
    finds: Mapping[str, Find]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, archive: RunFolder, *, pinned: bool) -> "RecordedStacks":
        """The stacks of an archive's folder. Raises RecordError if none has recorded its scenes."""
        rows = read_stacks(archive.path)
        recorded = {row.stack: run for row in rows if (run := _recorded(archive.path, row))}
        if not recorded:
            raise RecordError(f"{archive.path}: none of its stacks recorded the objects it was made of; run it anew")
        inputs = {name: run.inputs() for name, run in recorded.items()}
        by_band = bool(archive.config["source"].get("bands"))
        parts = [
            _part(row, inputs[row.stack], recorded[row.stack].config["source"]["band"] if by_band else None)
            for row in rows
            if row.stack in inputs
        ]
        finds = {name: _find(run, inputs[name], pinned=pinned) for name, run in recorded.items()}
        outside = left_out_by_reason(row for row in rows if row.stack not in inputs)
        absent = [row.stack for row in rows if row.stack not in inputs and row.status != OUTSIDE]
        notes = [f"without {listed(names, 5)}, {reason} then" for reason, names in outside.items()]
        notes += [f"without {listed(absent, 5)}, of which no objects were recorded"] if absent else []
        return cls(tuple(parts), finds, tuple(notes))

    @property
    def listed(self) -> Archive:
        """All of their scenes, as if they had been listed."""
        return Archive.of([candidate for part in self.parts for candidate in part.candidates], self.notes)


def with_unlisted(folder: Path, parts: Sequence[Part], *, by_band: bool) -> tuple[list[Part], list[str]]:
    """The stacks that are listed, and those of an earlier attempt in this folder that are not listed any more.

    The latter keep their place, and what to say of them comes second. Those without recorded scenes are lost, and are
    named there too. Raises RecordError for a damaged record of such a stack.
    """
    rows = read_stacks(folder) if (folder / STACKS).exists() else ()
    names = {part.name for part in parts}
    kept, lost = [], []
    for row in rows:
        if row.stack not in names:
            run = _recorded(folder, row)
            band = run.config["source"]["band"] if run and by_band else None
            kept += [_part(row, run.inputs(), band)] if run else []
            lost += [] if run else [row.stack]
    places = {row.stack: place for place, row in enumerate(rows)}
    ordered = sorted([*parts, *kept], key=lambda part: places.get(part.name, len(places))) if kept else [*parts]
    return ordered, _about_unlisted([part.name for part in kept], lost)


def _about_unlisted(kept: Sequence[str], lost: Sequence[str]) -> list[str]:
    gone = "of which no object is listed any more"
    notes = [f"goes on with {listed(kept, 5)} as recorded, {gone}"] if kept else []
    return notes + ([f"without {listed(lost, 5)}, {gone} and none was read"] if lost else [])


def _recorded(archive: Path, row: StackRow) -> RunFolder | None:
    """The run of a stack that has recorded its scenes."""
    folder = archive / FOLDER / row.stack
    return read_run(folder) if (folder / "inputs.parquet").exists() else None


def _find(run: RunFolder, rows: Sequence[RecordedInput], *, pinned: bool) -> Find:
    return recorded_inputs(run, counted_inputs(rows), rows, pinned=pinned)


def _part(row: StackRow, inputs: Sequence[RecordedInput], band: int | str | None) -> Part:
    candidates = (_candidate(scene, row.values) for scene in inputs if scene.used)
    return Part(row.stack, dict(row.values), tuple(candidate for candidate in candidates if candidate), band)


def _candidate(scene: RecordedInput, values: Mapping[str, Any]) -> Candidate | None:
    if scene.scene is None or scene.time is None:
        return None
    groups = {name: value for name, value in values.items() if value is not None}
    return Candidate(scene.stored, scene.scene, scene.time, groups)
