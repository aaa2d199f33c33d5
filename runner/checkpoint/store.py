"""`partials/`: finished tasks, kept while a run goes on, so that a stopped run reads only what is missing.

A task serves a later attempt if its scenes are the same objects in the same order, their pixels follow the same rule,
and it holds all that the stages need. Cluster, chunks and fusing may differ: they change no bits.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from runner.base.atomic import final_name, renamed_at_end
from runner.checkpoint.coalesce import FEW_BYTES, Coalescing
from runner.checkpoint.remaining import Remaining, disjoint, remaining_of
from runner.checkpoint.requirements import Requirements, Version
from runner.checkpoint.task_file import KeptTask, Rules, read_result, read_task, write_task
from runner.engine.block_engine import Restored
from runner.engine.tasks import TaskResult
from runner.engine.trace import TaskTrace
from runner.model import Stack
from runner.planning.records import Pass, Task

FOLDER = "partials"
_MOST_PIXELS: Final = 2**20  # of tasks in memory, each of which may take 24 bytes

log = logging.getLogger(__name__)


class Partials:
    """The kept tasks of a run folder, of earlier attempts and of this one.

    For `patience_seconds` tasks stay in memory, if they are few, so that a short run writes none of them.
    """

    def __init__(self, run: Path, patience_seconds: float = 0.0) -> None:
        self.folder = run / FOLDER
        self._patient_until = time.monotonic() + patience_seconds
        self._unwritten: list[tuple[Requirements, TaskResult, TaskTrace]] = []
        self.torn = 0  # files that cannot be read, or are of another version
        self._writable = True
        self._bytes, self._room = 0, FEW_BYTES  # the room they may take, however small the input is
        self._kept: list[KeptTask] = []
        self._lists: dict[str, list[Version]] = {}
        self._own: set[Path] = set()
        if self.folder.is_dir():
            self._read()

    def __len__(self) -> int:
        return len(self._kept)

    def of_pass(self, pass_: Pass, stack: Stack) -> "PassTasks":
        """The kept tasks that serve a pass, and the tasks that remain."""
        self.flush()
        requirements = Requirements.of(pass_, stack)
        served: list[tuple[KeptTask, Task]] = []
        refused: list[tuple[KeptTask, str]] = []
        for kept in self._kept:
            if (
                not requirements.held.keys() & kept.held.keys()
                and not requirements.finished.keys() & kept.finished.keys()
            ):
                continue  # of other stages
            place = requirements.place(kept, self._lists.get(kept.scenes, []))
            if isinstance(place, Task):
                served.append((kept, place))
            else:
                refused.append((kept, place))
        reused = [served[number] for number in disjoint([task for _, task in served])]
        remaining = remaining_of(pass_.tasks, [task for _, task in reused], len(stack.scenes))
        self._room = max(FEW_BYTES, sum(scene.size for scene in stack.scenes) // 2)
        return PassTasks(self, requirements, remaining, reused, refused, Coalescing.of(remaining.tasks))

    def add(self, requirements: Requirements, result: TaskResult, trace: TaskTrace) -> None:
        """Keep a task. If the disk refuses it, the run goes on without keeping more."""
        self._unwritten.append((requirements, result, trace))
        pixels = sum(task.window.height * task.window.width for task in (each.task for _, each, _ in self._unwritten))
        if time.monotonic() >= self._patient_until or pixels > _MOST_PIXELS:
            self.flush()

    def flush(self) -> None:
        """Write the tasks that are kept in memory."""
        unwritten, self._unwritten = self._unwritten, []
        for task in unwritten:
            self._write(*task)

    def _write(self, requirements: Requirements, result: TaskResult, trace: TaskTrace) -> None:
        if not self._writable:
            return
        try:
            finishing = {stage: of_stage.rules for stage, of_stage in requirements.finished.items()}
            rules = Rules(self._list_of(requirements.scenes), requirements.rule, requirements.over, finishing)
            kept = write_task(self.folder, rules, result, trace)
            self._bytes += kept.path.stat().st_size
        except OSError as error:
            self._writable = False
            log.warning("no more tasks are kept, since %s cannot be written: %s", self.folder, error)
        else:
            self._kept.append(kept)
            self._own.add(kept.path)
            if self._bytes > self._room:
                self._writable = False
                log.warning("no more tasks are kept, since %s has half the size of the input", self.folder)

    def is_own(self, kept: KeptTask) -> bool:
        """True for a task of this attempt."""
        return kept.path in self._own

    def drop(self) -> None:
        """Delete all of them, once the results are written."""
        self._unwritten.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._kept.clear()

    def _read(self) -> None:
        for part in self.folder.glob(".*.part*"):
            if final_name(part.name):  # of an attempt that was killed
                part.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("*.json")):
            try:
                self._lists[path.stem] = [(str(href), str(version)) for href, version in json.loads(path.read_text())]
            except (OSError, ValueError, TypeError):
                log.warning("%s cannot be read", path)
        for path in sorted(self.folder.glob("*.npz")):
            kept = read_task(path)
            if kept is None or kept.scenes not in self._lists:
                self.torn += 1
                log.warning("%s is ignored: it is torn, or of another version", path)
            else:
                self._kept.append(kept)
                self._bytes += path.stat().st_size

    def _list_of(self, scenes: Sequence[Version]) -> str:
        """The name of a list of scenes, which is written once."""
        text = json.dumps(scenes)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        if name not in self._lists or not (self.folder / f"{name}.json").exists():
            self.folder.mkdir(exist_ok=True)
            with renamed_at_end(self.folder / f"{name}.json") as temporary:
                temporary.write_text(text)
            self._lists[name] = list(scenes)
        return name


@dataclass(frozen=True, slots=True)
class PassTasks:
    """The kept tasks of a pass and those that remain: a `Checkpoint` of the block engine."""

    partials: Partials
    requirements: Requirements
    remaining: Remaining
    taken: list[tuple[KeptTask, Task]]
    refused: list[tuple[KeptTask, str]]
    coalescing: Coalescing

    def restored(self) -> Iterator[Restored]:
        """Finished tasks, each read from its file when it is asked for."""
        for number, (kept, task) in enumerate(self.taken, start=len(self.remaining.tasks)):
            result = read_result(kept, task, self.requirements.held, self.requirements.ordered)
            trace = None if self.partials.is_own(kept) else replace(kept.trace, number=number, task=task)
            yield Restored(result, self.remaining.parts[task.window], trace)

    def keep(self, result: TaskResult, trace: TaskTrace) -> None:
        """Keep a task that has just finished, now or joined to its neighbours."""
        for pair in self.coalescing.add(result, trace):
            self.partials.add(self.requirements, *pair)

    def close(self) -> None:
        """Keep the tasks that still wait for neighbours."""
        for pair in self.coalescing.rest():
            self.partials.add(self.requirements, *pair)

    def redone(self) -> list[tuple[KeptTask, str]]:
        """Kept tasks that do not serve and whose windows are read again, with the reasons."""
        windows = {task.window for task in self.remaining.tasks}
        return [(kept, reason) for kept, reason in self.refused if any(map(kept.task.window.common, windows))]

    def describe(self, *, explain: bool = False) -> Iterator[str]:
        """Lines on the tasks that are reused and to be read, and one for each reason to compute kept tasks again.

        Nothing if none were kept, unless `explain` is set, which adds where the tasks lie.
        """
        if not self.taken and not self.refused and not explain:
            return
        yield f"{kept_tasks(len(self.taken))}, {len(self.remaining.tasks)} are to be read"
        redone: dict[str, list[Task]] = {}
        for kept, reason in self.redone():
            redone.setdefault(reason, []).append(kept.task)
        for reason, tasks in redone.items():
            where = f" ({_extent(tasks)})" if explain else ""
            yield f"{len(tasks)} kept tasks are computed again: {reason}{where}"
        if explain:
            parts = {"kept": [task for _, task in self.taken], "to be read": self.remaining.tasks}
            yield from (f"{part}: {_extent(tasks)}" for part, tasks in parts.items() if tasks)


def _extent(tasks: Sequence[Task]) -> str:
    """The extent of these tasks, from the first row, column and scene to the last."""
    windows = [task.window for task in tasks]
    rows = min(window.row for window in windows), max(window.row + window.height for window in windows)
    columns = min(window.column for window in windows), max(window.column + window.width for window in windows)
    scenes = min(task.start for task in tasks), max(task.stop for task in tasks)
    return (
        f"{len(tasks)} tasks, rows {rows[0]} to {rows[1]}, columns {columns[0]} to {columns[1]}, "
        f"scenes {scenes[0]} to {scenes[1]}"
    )


def kept_tasks(count: int) -> str:
    """1 finished task is kept, 12 finished tasks are kept."""
    return "1 finished task is kept" if count == 1 else f"{count} finished tasks are kept"
