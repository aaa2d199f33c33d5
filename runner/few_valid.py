"""Scenes with too few valid pixels, found by their own count once a pass is computed, and taken out of its sums."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from runner.base.console import progress_bar, tell
from runner.base.humanize import plural
from runner.checkpoint.split import SplitTasks, not_subtracted
from runner.checkpoint.store import Partials
from runner.cluster.open import Clusters
from runner.engine.compute import compute_pass
from runner.engine.results import PassResult
from runner.errors import SourceError
from runner.model import FEW_VALID, Inputs, Stack
from runner.planning.records import Pass
from runner.record.run_record import RunRecord
from runner.recorded_pass import RecordedPass
from runner.settings import SourceSettings
from runner.source.stack import without_scenes
from runner.source.stores import Stores

log = logging.getLogger(__name__)


class FewValid(NamedTuple):
    """Scenes of a pass by their numbers, each with the share of its pixels that are valid, which is too small."""

    pass_: Pass
    shares: Mapping[int, float]

    @classmethod
    def of(cls, pass_: Pass, result: PassResult) -> "FewValid | None":
        """The scenes that a pass has found; None without any."""
        if pass_.least_valid is None or result.valid is None:
            return None
        few = np.flatnonzero(result.valid < pass_.least_valid)
        return cls(pass_, {int(number): float(result.valid[number]) for number in few}) if few.size else None

    def left_out(self, source: SourceSettings, inputs: Inputs, stores: Stores) -> Inputs:
        """The inputs without these scenes. Raises SourceError if none is left."""
        scenes, least = inputs.stack.scenes, self.pass_.least_valid
        if len(self.shares) == len(scenes):
            best = max(self.shares, key=lambda number: self.shares[number])
            raise SourceError(
                f"{FEW_VALID}={least:g}: none of {plural(len(scenes), 'scene')} has so many valid pixels; "
                f"{scenes[best].name} has the most, {self.shares[best]:.4f} of the grid or area; set a lower share, or "
                "cut the stack to where the scenes are (source.bbox, source.area)"
            )
        reasons = {
            number: f"{FEW_VALID}={least:g}: {share:.6f} of its pixels are valid"
            for number, share in self.shares.items()
        }
        return without_scenes(source, inputs, reasons, stores)

    def describe(self, scenes: int) -> str:
        """One line: how many scenes are left out."""
        return (
            f"{len(self.shares)} of {plural(scenes, 'scene')} left out, of whose pixels fewer than "
            f"{self.pass_.least_valid:g} are valid ({FEW_VALID})"
        )

    def subtract(self, stack: Stack, partials: Partials, record: RunRecord, clusters: Clusters | None) -> None:
        """Read these scenes of a stack again, and take them out of the kept sums. Raises RunnerError.

        Sums alone can be subtracted. Tasks of extremes and of ordered values with these scenes are computed again, as
        are all if not all could be kept.
        """
        split = SplitTasks.of(partials, self.pass_, stack, self.shares)
        if split is None:
            whole = not_subtracted(self.pass_.stages)
            if whole:
                line = f"{', '.join(whole)} cannot be subtracted as sums can: tasks are read once more"
                log.info("%s: %s", self.pass_.name, line)
                tell(f"{self.pass_.name}: {line}")
            return
        if not split.pass_.tasks:
            split.close()
            return
        with (
            record.during(self.pass_.name, [stage.name for stage in self.pass_.stages]),
            progress_bar(f"{self.pass_.name}, without scenes") as bar,
        ):
            observer = RecordedPass(split.pass_, record, 0, bar, None)
            result, usage = compute_pass(split.pass_, split.stack, observer, split, clusters)
        observer.computed(result, usage)
