"""Differences of two archives: their own facts, and the inputs and the values of their stacks, by name."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from runner.base.console import progress_bar
from runner.base.humanize import listed, plural
from runner.compare.records import SECTIONS
from runner.compare.sections import Difference, Section
from runner.errors import RecordError
from runner.record.run_folder import RunFolder, read_run
from runner.record.stacks import FOLDER, OUTSIDE, StackRow, read_stacks

_BY_STACK: Final = ("inputs", "values")  # sections that each stack has for itself
_MOST_NAMED: Final = 5


def compare_archives(a: RunFolder, b: RunFolder, only: Iterable[str] | None = None) -> list[Section]:
    """The sections of `only`, or all. Raises RecordError for a table of stacks that cannot be read."""
    return [_of_stacks(a, b, name) if name in _BY_STACK else SECTIONS[name](a, b) for name in (only or SECTIONS)]


def _of_stacks(a: RunFolder, b: RunFolder, name: str) -> Section:
    sides = [{row.stack: _Side(archive.path, row) for row in read_stacks(archive.path)} for archive in (a, b)]
    found, stacks = _Found(name), dict.fromkeys([*sides[0], *sides[1]])
    with progress_bar(name) as bar:
        for count, stack in enumerate(stacks, start=1):
            found.compare(stack, sides[0].get(stack), sides[1].get(stack))
            bar(count, len(stacks))
    return found.section()


@dataclass(frozen=True, slots=True)
class _Side:
    """A stack of one of the archives."""

    archive: Path
    row: StackRow

    @property
    def folder(self) -> Path:
        """The folder of its run; there is none of a stack that lies outside."""
        return self.archive / FOLDER / self.row.stack


@dataclass(slots=True)
class _Found:
    """The findings of one section, stack by stack."""

    name: str
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    same: int = 0
    in_neither: list[str] = field(default_factory=list)  # stacks for which neither archive has such facts

    def compare(self, stack: str, ours: _Side | None, theirs: _Side | None) -> None:
        """Compare the folders of a stack; None where an archive does not have it."""
        standings = [_standing(side, self.name) for side in (ours, theirs)]
        if ours and theirs and not any(standings):
            self._compare(stack, ours.folder, theirs.folder)
        elif all(standings):
            self.in_neither.append(stack)
        else:
            self.differences.append(Difference(stack, *(standing or "there" for standing in standings)))

    def _compare(self, stack: str, ours: Path, theirs: Path) -> None:
        try:
            section = SECTIONS[self.name](read_run(ours), read_run(theirs))
        except RecordError as error:
            self.differences.append(Difference(stack, text=str(error)))
            return
        self.same += not section.differences
        self.differences += [
            replace(difference, what=f"{stack}: {difference.what}") for difference in section.differences
        ]
        self.notes += [f"{stack}: {note}" for note in section.notes]

    def section(self) -> Section:
        """All findings."""
        notes = list(self.notes)
        if self.in_neither:
            none = "left values" if self.name == "values" else "recorded objects"
            named = listed(self.in_neither, _MOST_NAMED)
            notes.append(f"{plural(len(self.in_neither), 'stack')} {none} in neither: {named}")
        what = "the same bits" if self.name == "values" else "the same objects"
        return Section(self.name, self.differences, f"{what} in {plural(self.same, 'stack')}", notes)


def _standing(side: _Side | None, section: str) -> str:
    """Why a stack has nothing for this section; an empty text if it has."""
    if side is None:
        return "not there"
    if side.row.status == OUTSIDE:
        return OUTSIDE
    folder = side.folder
    if not (folder / "run.json").exists():
        return "not begun"
    if section == "inputs":
        return "" if (folder / "inputs.parquet").exists() else "no objects recorded"
    try:
        status = read_run(folder).status
    except RecordError:
        return ""  # the comparison says what is wrong with it
    return "" if status == "COMPLETED" else status
