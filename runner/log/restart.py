"""A recorded run started again from its config: in a new folder by `rerun`, in its own by `resume`."""

import logging
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runner.base.atomic import write_text
from runner.base.command import command, is_of_settings
from runner.base.overrides import key_of, without_folder
from runner.errors import RecordError, RunnerError, expanded
from runner.record.run_folder import RunFolder
from runner.record.stack_rows import with_stacks_now
from runner.record.value_settings import chooses_scenes, refuse_mixed_values

if TYPE_CHECKING:
    from runner.config.replay import Recomposed
    from runner.record.run_record import RunRecord
    from runner.settings import JobSettings


@contextmanager
def restarted_run(
    earlier: RunFolder, overrides: list[str], folder: Path, *, resumed: bool, listed: bool = False
) -> Iterator[tuple["JobSettings", "RunRecord"]]:
    """The job of an earlier run with these overrides, and its record: in `folder`, or in an overridden `output.dir`.

    Its scenes are `listed` anew, or those that it recorded. Signals end it from then on. Raises RunnerError.
    """
    from runner.base.redact import redact, redact_tree  # noqa: PLC0415 - as above
    from runner.config import job_config  # noqa: PLC0415 - all that a run imports, which the other verbs spare
    from runner.config.merged_overrides import merged  # noqa: PLC0415 - as above
    from runner.config.replay import keep_config  # noqa: PLC0415 - as above
    from runner.host.signals import stop_on_signals  # noqa: PLC0415 - as above
    from runner.publish.upload import uploaded_at_end  # noqa: PLC0415 - as above
    from runner.report.reported_run import reported_run  # noqa: PLC0415 - as above

    replay = replayed(earlier, overrides, folder, resumed=resumed, listed=listed)
    resolved = job_config.resolved(replay.tree)
    if resumed and earlier.record.is_archive:
        refuse_mixed_values(earlier, redact_tree(resolved))
    stop_on_signals()
    logging.getLogger().setLevel(logging.INFO)  # as Hydra's job_logging does
    folder = expanded(replay.job.output.dir).absolute()
    before = [word for word in without_folder(earlier.record.overrides) if resumed or key_of(word) != "reuse"]
    arguments = [redact(word) for word in merged(before, overrides, replay.job.stages)]
    attempt = replace(earlier.record, status=earlier.status)  # which may be KILLED, as run.json never says
    command = [redact(word) for word in sys.argv]
    reported = reported_run(folder, resolved, command, arguments, earlier=attempt if resumed else None)
    with uploaded_at_end(replay.job, folder, resumed=resumed), reported as record:
        record.change(config_flags=earlier.record.config_flags)  # by which the overrides mean what they meant
        with _forgotten_if_refused(earlier, record) if resumed and overrides else nullcontext():
            keep_config(folder, replay.tree, arguments)
            yield replay.job, record


def replayed(
    earlier: RunFolder, overrides: list[str], folder: Path, *, resumed: bool, listed: bool = False
) -> "Recomposed":
    """The job of an earlier run with these overrides, as `restarted_run` starts it. Raises RunnerError."""
    from runner.config.replay import blanked, recompose  # noqa: PLC0415 - as above
    from runner.planning.whole import refuse_parted_values  # noqa: PLC0415 - as above

    yaml, found = earlier.path.absolute() / ".hydra/config.yaml", (earlier.path / "inputs.parquet").exists()
    found = found and not listed
    if found:  # else the scenes are listed again, by whatever source is named now
        _refuse_other_scenes(overrides, blanked(earlier.config))
    new = {**earlier.config, "reuse": None, "output": {**earlier.config["output"], "upload": None}}
    config = earlier.config if resumed else new
    replay = recompose(config, yaml, overrides, folder, scenes_found=found)
    if any(key_of(word) == "reuse" for word in overrides):
        replay = with_reused_path(replay, folder)
    refuse_parted_values(replay.job)
    return replay


@contextmanager
def _forgotten_if_refused(earlier: RunFolder, record: "RunRecord") -> Iterator[None]:
    """Give a resumed run its config back if that of this attempt is refused before anything was done by it.

    Otherwise the overrides would stay, and a resume without them would be refused too.
    """
    earlier = with_stacks_now(earlier)  # whose record is behind if it was killed
    written = {path: path.read_text("utf-8") for path in earlier.path.absolute().glob(".hydra/*.yaml")}
    try:
        yield
    except RunnerError as error:
        if is_of_settings(error) and not _has_advanced(earlier, record):
            before = earlier.record
            record.change(config=before.config, overrides=before.overrides, config_sha256=before.config_sha256)
            for path, text in written.items():
                write_text(path, text)
        raise


def _has_advanced(earlier: RunFolder, record: "RunRecord") -> bool:
    """Whether an attempt has completed a pass, or a stack of an archive."""
    before, now = (run.archive.statuses if run.archive else {} for run in (earlier.record, record.run))
    return bool(record.run.passes) or now.get("COMPLETED", 0) > before.get("COMPLETED", 0)


def with_reused_path(replay: "Recomposed", folder: Path) -> "Recomposed":
    """The job with the path of the run that it reuses. Raises RecordError for the run in `folder` itself."""
    from runner.config.replay import reusing  # noqa: PLC0415 - as above
    from runner.start import with_reused_path as with_path  # noqa: PLC0415 - as above

    job = with_path(replay.job)
    if job.reuse == str(folder):
        raise RecordError(f"reuse={job.reuse}: a run cannot reuse itself; resume it, or name another")
    return reusing(replay, job)


def _refuse_other_scenes(overrides: Sequence[str], lost: Collection[str]) -> None:
    """Refuse an override of what chooses the scenes, which are the recorded ones; unless its value was lost.

    Raises RecordError.
    """
    for word in overrides:
        key = word.partition("=")[0].lstrip("+~")
        if _chooses_others(key) and key not in lost:
            raise RecordError(
                f"{word}: this reads the scenes of the recorded run; on_error=skip leaves out those that cannot be "
                f"read; for others run {command()}"
            )


def _chooses_others(key: str) -> bool:
    """True for a key of what chooses scenes, by which recorded ones may not be. What STAC takes may: a login, say."""
    of_source = key.startswith("source.") and not key.startswith("source.stac.")
    return key == "source" or (of_source and chooses_scenes(key))
