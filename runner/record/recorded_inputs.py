"""The inputs of a recorded run, found again: the very objects, as a job wants them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runner.base.command import command
from runner.base.console import progress_bar
from runner.base.tree import flat
from runner.errors import RecordError, SourceError
from runner.record.input_rows import RecordedInput
from runner.record.run_folder import RunFolder

if TYPE_CHECKING:
    from runner.model import Inputs, Scene
    from runner.settings import JobSettings
    from runner.source.stores import Stores


def found_again(earlier: RunFolder) -> "Callable[[JobSettings, Stores], Inputs] | None":
    """A function that finds the scenes of a run that is resumed as they are now, in order of time.

    Unreadable ones may have been repaired. None if the run ended before it found any, so that its source is listed.
    """
    if not (earlier.path / "inputs.parquet").exists():
        return None
    rows = earlier.inputs()
    inputs = [row for row in rows if row.counted or row.skipped]
    in_time = sorted(inputs, key=lambda row: (row.time, row.scene, row.href))
    return recorded_inputs(earlier, in_time, rows, pinned=False, outlines_pinned=True)


def recorded_inputs(
    earlier: RunFolder,
    wanted: Sequence[RecordedInput],
    rows: Sequence[RecordedInput],
    *,
    pinned: bool,
    outlines_pinned: bool | None = None,
) -> "Callable[[JobSettings, Stores], Inputs]":
    """A function that finds the inputs of a job: the `wanted` ones of the recorded `rows`, in their order.

    Files beside them are pinned too, unless another source.sidecars than the earlier run's is asked for; and so are the
    polygons of source.area and zones.file, which `outlines_pinned` may pin alone.
    """

    def find(job: "JobSettings", stores: "Stores") -> "Inputs":
        from runner.model import Inputs, LeftOut  # noqa: PLC0415 - what lists of runs spare
        from runner.record.recorded_outlines import refuse_changed_outlines  # noqa: PLC0415 - as above
        from runner.settings import OnError  # noqa: PLC0415 - as above
        from runner.source.mask_files import has_name, recorded_with_mask  # noqa: PLC0415 - as above
        from runner.source.outlines import outlines_of  # noqa: PLC0415 - as above
        from runner.source.reopen import (  # noqa: PLC0415 - as above
            look_up,
            read_scenes,
            refuse_problems,
            renew_signatures,
        )
        from runner.source.stack import make_stack  # noqa: PLC0415 - as above

        if pinned or outlines_pinned:
            refuse_changed_outlines(earlier, job, outlines_of(job, stores))
        others_beside = job.source.sidecars.value != _sidecars_setting(earlier)
        if others_beside:
            _refuse_unlisted(job, wanted)
        skips = job.mask.on_missing is OnError.skip
        reopened = [row for row in wanted if not skips or has_name(job.mask, row.stored)]
        renew_signatures(job.source, [row.stored for row in reopened], stores)
        lookups = look_up([recorded_with_mask(job.mask, row.stored) for row in reopened], stores)
        refuse_problems(lookups, job.on_error, job.mask.on_missing, pinned=pinned)
        with progress_bar("headers") as progress:
            named = list(zip(lookups, (row.scene for row in reopened), strict=True))
            scenes, unread = read_scenes(job.source, named, stores, progress, job.on_error)
        if pinned and not others_beside:
            _refuse_changed_beside(scenes, reopened)
        chosen = set(reopened)
        others = (row for row in rows if row not in chosen)
        left_out = (LeftOut(row.stored, row.scene, row.time, row.reason or "", row.skipped) for row in others)
        return Inputs(make_stack(job.source, scenes), (*left_out, *unread), stores.counts)

    return find


def _sidecars_setting(earlier: RunFolder) -> str:
    return str(flat(earlier.config).get("source.sidecars", "read"))  # of runs before there was a choice


def _refuse_unlisted(job: "JobSettings", inputs: Sequence[RecordedInput]) -> None:
    """Raise RecordError where files beside objects of a bucket are asked for, which were not looked for before."""
    from runner.settings import Sidecars  # noqa: PLC0415 - what lists of runs spare
    from runner.source.reopen import is_in_bucket  # noqa: PLC0415 - as above

    if job.source.sidecars is Sidecars.read and any(is_in_bucket(row.href) for row in inputs):
        raise RecordError(
            "source.sidecars=read: the recorded run ignored what lies beside its objects, and of a bucket only a "
            f"listing shows that; run {command()} anew"
        )


def _refuse_changed_beside(scenes: Sequence["Scene"], inputs: Sequence[RecordedInput]) -> None:
    """Raise SourceError for objects beside which other files stand than the recorded ones."""
    rows = {row.href: row for row in inputs}
    changed = [text for scene in scenes if (text := rows[scene.href].changed_beside(scene))]
    if changed:
        raise SourceError(
            f"{len(changed)} of {len(rows)} objects are not as recorded: {'; '.join(changed[:5])}; bring the files "
            "back, or read them as they are now by --unpinned"
        )
