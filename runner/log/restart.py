"""A recorded run started again from its config: in a new folder by `rerun`, in its own by `resume`."""

import logging
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runner.base.command import command
from runner.base.overrides import without_folder
from runner.errors import RecordError, expanded
from runner.record.run_folder import RunFolder

if TYPE_CHECKING:
    from runner.record.run_record import RunRecord
    from runner.settings import JobSettings

_CHOOSING = ("source", "source.kind", "source.url", "source.datetime_regex", "source.start", "source.end",
             "source.exclude", "source.where", "source.stack_by", "source.bands", "source.limit",
             "source.duplicates")  # fmt: skip


@contextmanager
def restarted_run(
    earlier: RunFolder, overrides: list[str], folder: Path, *, resumed: bool
) -> Iterator[tuple["JobSettings", "RunRecord"]]:
    """The job of an earlier run with these overrides, and its record: in `folder`, or in an overridden `output.dir`.

    Signals end it from then on. Raises RunnerError.
    """
    from runner.base.redact import redact  # noqa: PLC0415 - as above
    from runner.config import job_config  # noqa: PLC0415 - all that a run imports, which the other verbs spare
    from runner.config.replay import blanked, keep_config, recompose  # noqa: PLC0415 - as above
    from runner.host.signals import stop_on_signals  # noqa: PLC0415 - as above
    from runner.publish.upload import uploaded_at_end  # noqa: PLC0415 - as above
    from runner.report.reported_run import reported_run  # noqa: PLC0415 - as above

    yaml, found = earlier.path.absolute() / ".hydra/config.yaml", (earlier.path / "inputs.parquet").exists()
    if found:  # else the scenes are listed again, by whatever source is named now
        _refuse_other_scenes(overrides, blanked(earlier.config))
    config = earlier.config if resumed else {**earlier.config, "output": {**earlier.config["output"], "upload": None}}
    replay = recompose(config, yaml, overrides, folder, scenes_found=found)
    stop_on_signals()
    logging.getLogger().setLevel(logging.INFO)  # as Hydra's job_logging does
    folder = expanded(replay.job.output.dir).absolute()
    arguments = [redact(word) for word in (*without_folder(earlier.record.overrides), *overrides)]
    attempt = replace(earlier.record, status=earlier.status)  # which may be KILLED, as run.json never says
    command = [redact(word) for word in sys.argv]
    reported = reported_run(
        folder, job_config.resolved(replay.tree), command, arguments, earlier=attempt if resumed else None
    )
    with uploaded_at_end(replay.job, folder, resumed=resumed), reported as record:
        record.change(config_flags=earlier.record.config_flags)  # by which the overrides mean what they meant
        keep_config(folder, replay.tree, arguments)
        yield replay.job, record


def _refuse_other_scenes(overrides: Sequence[str], lost: Collection[str]) -> None:
    """Refuse an override of what chooses the scenes, which are the recorded ones; unless its value was lost.

    Raises RecordError.
    """
    for word in overrides:
        key = word.partition("=")[0].lstrip("+~")
        if (key in _CHOOSING or key.startswith("source.where.")) and key not in lost:
            raise RecordError(f"{word}: this reads the scenes of the recorded run; for others run {command()}")
