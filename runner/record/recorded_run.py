"""A run while it is recorded: its folder claimed, its first record, and how it ends."""

import errno
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from runner.base.overrides import config_flags
from runner.errors import Interrupted, OutputError
from runner.host.heartbeat import HEARTBEAT_SECONDS, OF_MANY_SECONDS, beating, beside
from runner.record.claim import claim, reclaim
from runner.record.config_hash import config_sha256
from runner.record.environment import machine_facts
from runner.record.events import events_kept
from runner.record.lock import held
from runner.record.run import Run
from runner.record.run_record import ArchiveFacts, RunRecord, warned_if_unwritten
from runner.reduce import KERNELS

_FULL_OR_CLOSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)
_OF_THE_MACHINE = ("host", "pid", "python", "platform", "cores", "memory_bytes", "cgroup")
# Imports come before the run's first second, compiled kernels from disk or the compiler; the demo alone has an archive.
_PHASES = ("imports", "archive", "listing", "kernels", "compiling", "writing", "report")

log = logging.getLogger(__name__)


@contextmanager
def recorded_run(
    folder: Path,
    config: Mapping[str, Any],
    command: Sequence[str],
    overrides: Sequence[str],
    earlier: Run | None = None,
) -> Iterator[RunRecord]:
    """Claim `folder` for one run, and record how that ends.

    Raises OutputError if the folder holds a run already, or files of others that the run would write over.

    With `earlier`, the record that is there, that run goes on and becomes one of its `attempts`. Whoever resumes it
    holds the folder already.
    """
    first = _first_record(config, command, overrides, machine_facts())
    with _recorded(folder, first, earlier) as record:
        yield record


@contextmanager
def recorded_stack(
    folder: Path,
    config: Mapping[str, Any],
    overrides: Sequence[str],
    archive: ArchiveFacts,
    earlier: Run | None = None,
) -> Iterator[RunRecord]:
    """Record the run of one stack of an archive as by `recorded_run`; machine, packages and code are the archive's."""
    machine = {name: getattr(archive.run, name) for name in _OF_THE_MACHINE}
    first = _first_record(config, archive.run.command, overrides, machine)
    first = replace(first, config_flags=archive.run.config_flags)
    with _recorded(folder, first, earlier, archive) as record:
        yield record


@contextmanager
def _recorded(folder: Path, run: Run, earlier: Run | None, archive: ArchiveFacts | None = None) -> Iterator[RunRecord]:
    reserve = claim(folder, run.config) if earlier is None else reclaim(folder, run.config, earlier.config)
    if earlier is not None:
        attempts = (*earlier.attempts, earlier.attempt)
        run = replace(run, attempts=attempts, rerun_of=earlier.rerun_of, resumed_from=str(folder))
        run = replace(run, archive=earlier.archive)  # until its stacks are found again
    try:
        with held(folder) if earlier is None else nullcontext(), events_kept(folder, one_of_many=archive is not None):
            record = RunRecord(folder, run, reserve, one_of_many=archive is not None)
            pause = HEARTBEAT_SECONDS if archive is None else OF_MANY_SECONDS
            with _last_act(record), _outcome(record), beating(record.beat, pause), _described(record, archive):
                yield record
    except OSError as error:
        if not folder.is_dir():
            raise OutputError(f"{folder} was removed during the run; run it again, where nobody clears it") from error
        if error.errno not in _FULL_OR_CLOSED:
            raise
        way = "set output.dir" if earlier is None else "make it writable"  # a run is resumed in its own folder
        raise OutputError(f"{folder}: {error.strerror or error}; free some space or {way}") from error


@contextmanager
def _described(record: RunRecord, archive: ArchiveFacts | None) -> Iterator[None]:
    """Find out versions and code meanwhile, or take them from the record of the archive."""
    if archive is None:
        with beside(record.describe, "description"):
            yield
        return
    try:
        yield
    finally:
        record.describe_as(archive)


@contextmanager
def _outcome(record: RunRecord) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        code = stop.exit_code if isinstance(stop, Interrupted) else 130
        log.warning("interrupted, exit code %d", code)
        record.close("INTERRUPTED", code, stop)
        raise
    except (Exception, SystemExit) as error:  # a library may exit, which is a failure too
        log.exception("failed")
        record.close("FAILED", getattr(error, "exit_code", 1), error)
        raise
    record.close("COMPLETED", 0)


@contextmanager
def _last_act(record: RunRecord) -> Iterator[None]:
    """Do the record's last act, however the run ended. If that fails, a warning says so; the outcome stays."""
    try:
        yield
    finally:
        if record.last_act:
            with warned_if_unwritten("run.json"), record.phase("report"):
                try:
                    record.last_act(record.folder, record.overviews)
                except Exception:
                    log.warning("report.html cannot be made", exc_info=True)


def _first_record(
    config: Mapping[str, Any], command: Sequence[str], overrides: Sequence[str], machine: Mapping[str, Any]
) -> Run:
    return Run(
        status="RUNNING",
        started=datetime.now(UTC),
        command=tuple(command),
        overrides=tuple(overrides),
        config_flags=tuple(config_flags(command)),
        config=dict(config),
        config_sha256=config_sha256(config),
        **machine,
        versions={},
        kernels=KERNELS,
        phases=dict.fromkeys(f"{name}_seconds" for name in _PHASES),
        passes=(),
    )
