"""`partials/`: finished tasks, kept while a run goes on, so that a stopped run reads only what is missing.

A task serves a later attempt, or a later run that reuses this one, if its scenes are the same objects, in whatever
order, their pixels follow the same rule, and it holds all that the stages need. Cluster, chunks and fusing may differ:
they change no bits.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from runner.base.atomic import final_name, renamed_at_end
from runner.checkpoint import SUFFIX
from runner.checkpoint.coalesce import FEW_BYTES, Coalescing, Result
from runner.checkpoint.pass_tasks import PassTasks, Reusable
from runner.checkpoint.remaining import Placed, disjoint, remaining_of
from runner.checkpoint.requirements import Requirements, Version
from runner.checkpoint.task_file import KeptTask, Rules, read_task, write_task
from runner.errors import OutputError
from runner.model import Stack
from runner.planning.cost import cost_of_tasks
from runner.planning.records import Pass, Plan

FOLDER: Final = "partials"
_MOST_PIXELS: Final = 2**20  # of tasks in memory, each of which may take 24 bytes

log = logging.getLogger(__name__)


class Partials:
    """The kept tasks of a run folder, of earlier attempts and of this one, and those of a run that it reuses.

    For `patience_seconds` tasks stay in memory, if they are few, so that a short run writes none of them. They take at
    most half as much room as the input, unless `all_kept`. If it `keeps` them for good, a disk that has no room for all
    ends the run. The reused run is only read.
    """

    def __init__(
        self,
        run: Path,
        patience_seconds: float = 0.0,
        *,
        keeps: bool = False,
        all_kept: bool = False,
        reused: Path | None = None,
    ) -> None:
        self.folder = run / FOLDER
        self.keeps, self._limited = keeps, not (keeps or all_kept)
        self._patient_until = time.monotonic() + patience_seconds
        self._unwritten: list[tuple[PassTasks, Result]] = []
        self.torn = 0  # files that cannot be read, or are of another version
        self._writable = True
        self._bytes, self._room = 0, FEW_BYTES  # the room they may take, however small the input is
        self._kept: list[KeptTask] = []
        self._lists: dict[str, list[Version]] = {}
        self._own: set[Path] = set()
        self._passes: dict[str, PassTasks] = {}
        self._aside: list[KeptTask] = []
        if self.folder.is_dir():
            self._read(self.folder)
        self.reused = reused
        if reused is not None:
            self._read(reused / FOLDER)

    def __len__(self) -> int:
        return sum(self.is_here(kept) for kept in self._kept)

    def of_pass(self, pass_: Pass, stack: Stack) -> PassTasks:
        """The kept tasks that serve a pass, and the tasks that remain."""
        self.flush()
        requirements = Requirements.of(pass_, stack)
        served: list[tuple[KeptTask, Placed]] = []
        refused: list[tuple[KeptTask, str]] = []
        for kept in self._kept:
            if (
                not requirements.held.keys() & kept.held.keys()
                and not requirements.finished.keys() & kept.finished.keys()
            ):
                continue  # of other stages
            place = requirements.place(kept, self.scenes_of(kept))
            if isinstance(place, Placed):
                served.append((kept, place))
            else:
                refused.append((kept, place))
        reusable = [Reusable(*served[number]) for number in disjoint([placed for _, placed in served])]
        remaining = remaining_of(pass_.tasks, [each.placed for each in reusable], len(stack.scenes))
        self._room = max(FEW_BYTES, sum(scene.size for scene in stack.scenes) // 2)
        coalescing = Coalescing.of(remaining.tasks, pass_.kept_scenes)
        of_pass = PassTasks(self, requirements, remaining, reusable, refused, coalescing)
        self._passes[pass_.name] = of_pass
        return of_pass

    def reduced(self, plan: Plan, stack: Stack) -> Plan:
        """A plan that has only the tasks which remain, and what these cost."""
        return replace(plan, passes=tuple(self._reduced(pass_, stack) for pass_ in plan.passes))

    def _reduced(self, pass_: Pass, stack: Stack) -> Pass:
        of_pass = self.of_pass(pass_, stack) if len(self._kept) else None
        if not of_pass or not of_pass.taken:
            return pass_
        tasks = of_pass.remaining.tasks
        return replace(pass_, tasks=tasks, cost=cost_of_tasks(stack, pass_.reading, tasks))

    def set_aside(self, kept: Sequence[KeptTask]) -> None:
        """Keep tasks of scenes that are left out of this run, which a later run may want to look at again."""
        self._aside += kept

    def remove(self, kept: KeptTask) -> None:
        """Remove a task that others have replaced. One of the reused run stays there."""
        if self.is_here(kept):
            kept.path.unlink(missing_ok=True)
            self._kept.remove(kept)

    def scenes_of(self, kept: KeptTask) -> list[Version]:
        """The list of scenes that a kept task counts in."""
        return self._lists.get(kept.scenes, [])

    def add(self, of_pass: PassTasks, result: Result) -> None:
        """Keep a task. If the disk refuses it, the run goes on without keeping more, unless all are to be kept.

        Raises OutputError.
        """
        self._unwritten.append((of_pass, result))
        windows = [each.result.task.window for _, each in self._unwritten]
        pixels = sum(window.height * window.width for window in windows)
        if time.monotonic() >= self._patient_until or pixels > _MOST_PIXELS:
            self.flush()

    def flush(self) -> None:
        """Write the tasks that are kept in memory. Raises OutputError."""
        unwritten, self._unwritten = self._unwritten, []
        for task in unwritten:
            self._write(*task)

    def _write(self, of_pass: PassTasks, finished: Result) -> None:
        if not self._writable:
            return
        try:
            of_pass.rules = of_pass.rules or self._rules_of(of_pass.requirements)
            kept, size = write_task(self.folder, of_pass.rules, *finished)
            self._bytes += size
        except OSError as error:
            self._writable = False
            if self.keeps:
                raise self._unkept(error) from error
            log.warning("no more tasks are kept, since %s cannot be written: %s", self.folder, error)
        else:
            self._kept.append(kept)
            self._own.add(kept.path)
            of_pass.written(kept)
            if self._bytes > self._room and self._limited:
                self._writable = False
                log.warning("no more tasks are kept, since %s has half the size of the input", self.folder)

    def _rules_of(self, requirements: Requirements) -> Rules:
        """What the tasks of a pass follow from; made once, since scenes may be many. Raises OSError."""
        return Rules(
            self._list_of(requirements.scenes),
            requirements.rule,
            requirements.over,
            {stage: of_stage.rules for stage, of_stage in requirements.finished.items()},
            {stage: names for stage, (_, names) in requirements.ordered.items()},
            requirements.lots,
        )

    def _unkept(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.folder}: {error.strerror or error}, so that output.keep_partials=true cannot keep all finished "
            "tasks; free some space, or set output.keep_partials=false"
        )

    def is_own(self, kept: KeptTask) -> bool:
        """True for a task of this attempt."""
        return kept.path in self._own

    def of_other_passes(self, of_pass: PassTasks) -> frozenset[Path]:
        """The kept tasks that other passes have use for with all their sums, once these have asked for theirs."""
        others = (other for other in self._passes.values() if other is not of_pass)
        used = ((each.kept, other.requirements.held) for other in others for each in other.in_use())
        return frozenset(kept.path for kept, held in used if kept.held.keys() <= held.keys())

    def is_here(self, kept: KeptTask) -> bool:
        """True for a task that lies in this run's folder, not in the reused one."""
        return kept.path.parent == self.folder

    def complete(self) -> None:
        """Let the folder have the tasks that the results are made of, and no others, those of a reused run too.

        Raises OutputError.
        """
        self.flush()
        for of_pass in self._passes.values():
            of_pass.compact()
        in_use = [each.kept for of_pass in self._passes.values() for each in of_pass.in_use()]
        try:
            used = {self._taken_over(kept) for kept in (*in_use, *self._aside)}
        except OSError as error:
            raise self._unkept(error) from error
        unused = {kept.path for kept in self._kept if self.is_here(kept) and kept.path not in used}
        for path in unused:
            path.unlink(missing_ok=True)
        self._kept = [kept for kept in self._kept if kept.path not in unused]

    def _taken_over(self, kept: KeptTask) -> Path:
        """The file of a kept task in this folder, which a link on the same disk takes no room for."""
        path = self.folder / kept.path.name
        if not self.is_here(kept) and not path.exists():
            self._list_of(self.scenes_of(kept))
            try:
                os.link(kept.path, path)
            except OSError:  # another disk, or one without links
                with renamed_at_end(path) as temporary:
                    shutil.copyfile(kept.path, temporary)
        return path

    def drop(self) -> None:
        """Delete all of them, once the results are written."""
        self._unwritten.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._kept.clear()

    def _read(self, folder: Path) -> None:
        for part in folder.glob(".*.part*") if folder == self.folder else ():
            if final_name(part.name):  # of an attempt that was killed
                part.unlink(missing_ok=True)
        for path in sorted(folder.glob("*.json")):
            try:
                self._lists[path.stem] = [(str(href), str(version)) for href, version in json.loads(path.read_text())]
            except (OSError, ValueError, TypeError):
                log.warning("%s cannot be read", path)
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            kept = read_task(path)
            if kept is None or kept.scenes not in self._lists:
                self.torn += 1
                log.warning("%s is ignored: it is torn, or of another version", path)
            else:
                self._kept.append(kept)
                self._bytes += path.stat().st_size if self.is_here(kept) else 0

    def _list_of(self, scenes: Sequence[Version]) -> str:
        """The name of a list of scenes, which is written once."""
        text = json.dumps(scenes)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        if not (self.folder / f"{name}.json").exists():
            self.folder.mkdir(exist_ok=True)
            with renamed_at_end(self.folder / f"{name}.json") as temporary:
                temporary.write_text(text)
        self._lists[name] = list(scenes)
        return name
