"""A complete run copied to a bucket: every file whole, proved to have arrived, and `outputs.json` last.

`run.json` goes first, since it claims the address: no two runs have the same one. A file that is there already counts
as uploaded if it is the same bytes, so that an upload that was stopped goes on; any other object is another run's, and
stays as it is.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Final, NoReturn

from runner.base.command import command
from runner.base.console import progress_bar, tell
from runner.base.humanize import plural, relative_path
from runner.errors import OutputError, RecordError, printable
from runner.host.stopping import refuse_if_stopped
from runner.output.digest import file_sha256
from runner.publish.open import target_of
from runner.publish.target import Sent, Target, shown
from runner.record.claim import RECORD, files_written
from runner.record.lock import held
from runner.record.run_folder import RunFolder, read_run
from runner.record.stacks import FOLDER, read_stacks
from runner.record.uploaded import UPLOADED, UploadedFile, keep_uploaded, lacks_upload, uploaded_text
from runner.settings import JobSettings

_LAST: Final = "outputs.json"
_TOGETHER: Final = 4
_LONG_BYTES: Final = 64 * 2**20  # uploads from here on show how far they are


@contextmanager
def uploaded_at_end(job: JobSettings, folder: Path, *, resumed: bool = False) -> Iterator[None]:
    """Before a run see that its files can be written where `output.upload` says, and upload them once it is complete.

    Whoever resumes a run holds its folder already. Raises OutputError.
    """
    target = target_of(job)
    if target is None:
        yield
        return
    target.refuse_unwritable()
    if not (resumed and job.source.parted_by):  # stacks of an earlier attempt may be there
        _refuse_occupied(target)
    yield
    with nullcontext() if resumed else held(folder):
        upload_all(folder, target)


def _refuse_occupied(target: Target) -> None:
    name = target.first()
    if name is not None:
        raise _occupied(target, name)


def _occupied(target: Target, name: str) -> OutputError:
    return OutputError(
        f"{shown(target.url)} holds {printable(name)} already, and a run uploads to an address of its own; "
        "name another one by output.upload, or remove what lies there"
    )


def refuse_others_at(target: Target, folder: Path) -> None:
    """Raise OutputError if something lies at the address that an earlier attempt to upload this run did not leave."""
    for name in sorted(target.sizes()):
        if PurePosixPath(name).name != UPLOADED and not (folder / name).is_file():
            raise _occupied(target, name)


def upload_all(folder: Path, target: Target, way: str | None = None) -> None:
    """Upload a complete run, an archive with those of its stacks that are not there yet; say how to go on if it fails.

    The way on is to resume the run, unless another is given. Raises OutputError.
    """
    way = way or f"{command()} log resume {quote(relative_path(folder))}"
    try:
        rows = read_stacks(folder) if read_run(folder).record.is_archive else ()
        stacks = [f"{FOLDER}/{row.stack}" for row in rows if row.status == "COMPLETED"]
        for stack in stacks:
            upload_if_lacking(folder / stack, target.below(stack))
        count, size = upload_run(folder, target, stacks)
    except KeyboardInterrupt:
        tell(f"the results in {relative_path(folder)} are complete; to go on with their upload: {way}")
        raise
    except (OutputError, RecordError) as error:
        error.add_note(f"the results in {relative_path(folder)} are complete; to go on with their upload: {way}")
        raise
    whole = f"{plural(len(stacks), 'stack')}, and of the archive " if stacks else ""
    tell(f"uploaded: {whole}{plural(count, 'object')}, {size / 1e6:.1f} MB, to {shown(target.url)}")


def upload_if_lacking(folder: Path, target: Target) -> None:
    """Upload the run of a stack, unless that was done. Raises OutputError, and RecordError as `upload_run` does."""
    if lacks_upload(folder, target.url):
        upload_run(folder, target)


def upload_run(folder: Path, target: Target, stacks: Sequence[str] = ()) -> tuple[int, int]:
    """Upload the files of one complete run's folder; how many there are, and their bytes.

    `stacks` are the folders of an archive's stacks, which are uploaded already. Nothing but the folder and the target
    is needed, so that any process that sees the folder can do it. Raises OutputError, and RecordError for a folder that
    is not of a complete run.
    """
    run = read_run(folder)
    if run.status != "COMPLETED":
        raise RecordError(f"{folder} is {run.status}: only a complete run is uploaded; resume it")
    files = [_facts(folder, name) for name in files_written(run)]
    _refuse_altered(run, files)
    below = [_facts(folder, f"{stack}/{UPLOADED}") for stack in stacks]
    upload = _Upload(folder, target, target.sizes(), {file.name: file.sha256 for file in files}, total=_bytes_of(files))
    with upload.shown() as sent:
        upload.settle(RECORD, sent)
        target.drop_parts({file.name for file in files})
        upload.settle_all([file.name for file in files if file.name not in (RECORD, _LAST)], sent)
        text = uploaded_text(target.url, [*files, *below])
        upload.settle_text(UPLOADED, text)
        if any(file.name == _LAST for file in files):
            upload.settle(_LAST, sent)
    keep_uploaded(folder, text)
    return len(files) + 1, upload.total


def _bytes_of(files: Sequence[UploadedFile]) -> int:
    return sum(file.bytes for file in files)


def _facts(folder: Path, name: str) -> UploadedFile:
    path = folder / name
    try:
        return UploadedFile(name, path.stat().st_size, file_sha256(path))
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _refuse_altered(run: RunFolder, files: Sequence[UploadedFile]) -> None:
    """Raise RecordError for a result that is not what was written."""
    if run.record.is_archive:
        return
    now = {file.name: file.sha256 for file in files}
    for output in run.outputs():
        if now.get(output.name) != output.sha256:
            change = "has changed since it was written" if output.name in now else "is gone"
            raise RecordError(
                f"{run.path / output.name} {change}, so that the run is not uploaded; {command()} log rerun "
                f"{quote(str(run.path))} makes it anew"
            )


class _StoppedError(Exception):
    """Another file of the upload has failed."""


@dataclass(slots=True)
class _Upload:
    """The files of a run on their way. `there` are the objects that were there before, with their bytes."""

    folder: Path
    target: Target
    there: dict[str, int]
    hashes: dict[str, str]
    total: int
    _done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def shown(self) -> Iterator[Sent]:
        """Show the bytes that have arrived, if there are many."""
        with progress_bar("upload, MB") if self.total >= _LONG_BYTES else nullcontext(lambda *_: None) as bar:

            def sent(count: int) -> None:
                if self._stopped.is_set():
                    raise _StoppedError
                with self._lock:
                    self._done += count
                    bar(self._done // 10**6, self.total // 10**6)

            yield sent

    def settle_all(self, names: Sequence[str], sent: Sent) -> None:
        """Upload several files at a time. The first that fails stops the others."""
        pool = ThreadPoolExecutor(_TOGETHER, "upload")
        try:
            for future in [pool.submit(self.settle, name, sent) for name in names]:
                future.result()
        except BaseException:
            self._stopped.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def settle(self, name: str, sent: Sent) -> None:
        """Upload a file, unless the same bytes are there. Raises OutputError for others."""
        refuse_if_stopped()
        path = self.folder / name
        if name not in self.there and self.target.put(name, path, self.hashes[name], sent):
            return
        if not self.target.holds(name, path, self.hashes[name]):
            self._refuse(name)
        if name in self.there:
            sent(path.stat().st_size)

    def settle_text(self, name: str, text: str) -> None:
        """The same of a text."""
        body = text.encode()
        if name not in self.there and self.target.put_bytes(name, body):
            return
        if b"".join(self.target.chunks(name)) != body:
            self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        raise OutputError(
            f"{shown(self.target.url)}/{printable(name)} is there already, and is another run's; name another address "
            "by output.upload, or remove what lies there"
        )
