"""A run in a bucket verified: every object read back, and held against the hashes that were uploaded with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from runner.base.command import command
from runner.base.console import progress_bar, say
from runner.base.humanize import listed, plural
from runner.base.overrides import key_of
from runner.errors import RecordError
from runner.host import signals
from runner.log.check import Check, Verdict
from runner.log.verify_stacks import tell_checks
from runner.publish.address import ACCESS, address_of
from runner.publish.open import open_target, stores_of_output
from runner.publish.target import Target, sha256_of
from runner.record.json_files import parsed_json, typed
from runner.record.run_files import Outputs
from runner.record.stacks import FOLDER
from runner.record.uploaded import UPLOADED, Uploaded, UploadedFile, checked
from runner.settings import JobSettings

_OUTPUTS: Final = "outputs.json"
_TOGETHER: Final = 8
_MOST_NAMED: Final = 3


def verify_upload(url: str, overrides: Sequence[str]) -> int:
    """Print a line for the run at an address, and for each stack of an archive; the exit code.

    Raises OutputError for a bucket that cannot be read, RecordError if nothing lies at the address, and ConfigError for
    settings by which it cannot be reached.
    """
    address_of(url, "RUN")
    target = open_target(url, stores_of_output(_job(overrides)))
    signals.stop_on_signals()
    sizes = target.sizes()
    if not sizes:
        raise RecordError(f"{target.url} holds nothing; check the address")
    say(target.url)
    bad = count = 0
    with progress_bar("objects") as bar:
        for name, checks in _Upload(target, sizes, bar).verified():
            bad += tell_checks(name, checks)
            count += 1
    runs = f"{plural(count - 1, 'stack')} and the archive" if count > 1 else "the run"
    say(f"NOT verified: {bad} of {plural(count, 'run')}" if bad else f"verified: {runs}, {len(sizes)} objects")
    return int(bad > 0)


def _job(overrides: Sequence[str]) -> JobSettings:
    """The settings by which a bucket is reached: those of the command line, and the environment."""
    from runner.config.replay import composed_anew  # noqa: PLC0415 - as in `runner.log.verify`

    for word in overrides:
        if not key_of(word).startswith(ACCESS):
            raise RecordError(f"{word}: an upload is verified as it is; only {', '.join(ACCESS)} may be overridden")
    return composed_anew(overrides)


@dataclass(slots=True)
class _Upload:
    """The objects below an address, with their sizes as the bucket lists them."""

    target: Target
    sizes: dict[str, int]
    bar: Callable[[int, int], None]
    named: set[str] = field(default_factory=set)  # in what was uploaded
    done: int = 0

    def verified(self) -> Iterator[tuple[str, list[Check]]]:
        """The checks of each stack of an archive, and at the end those of the run itself."""
        for stack in sorted({name.split("/")[1] for name in self.sizes if name.startswith(f"{FOLDER}/")}):
            yield stack, self._checks(f"{FOLDER}/{stack}/")
        checks = self._checks("")
        others = sorted(set(self.sizes) - self.named)
        if others:
            text = f"{plural(len(others), 'object')} that the run did not upload: {listed(others, _MOST_NAMED)}"
            checks.append(Check("others", Verdict.failed, text))
        yield "run", checks

    def _checks(self, before: str) -> list[Check]:
        """Hold the objects of one run, whose paths begin with `before`, against its `uploaded.json`."""
        try:
            uploaded = self._uploaded(before)
        except RecordError as error:
            return [Check(UPLOADED, Verdict.unknown, str(error))]
        with ThreadPoolExecutor(_TOGETHER, "verify") as pool:
            checks = list(pool.map(lambda file: self._check(before, file), uploaded.files))
        hashes = {file.name: file.sha256 for file in uploaded.files}
        if _OUTPUTS in hashes and before + _OUTPUTS in self.sizes:
            checks += self._check_results(before, hashes)
        return checks

    def _uploaded(self, before: str) -> Uploaded:
        """The list of what was uploaded. Raises RecordError if it is not there, or was altered."""
        name = before + UPLOADED
        self.named.update(path for path in self.sizes if path.startswith(before) and name not in self.sizes)
        if name not in self.sizes:
            raise RecordError(
                f"{self.target.url}/{name} is missing: the upload is not complete, and these are no results; "
                f"{command()} log resume RUN goes on with it"
            )
        self.named.add(name)
        uploaded = checked(Path(name), self._tree(name))
        self.named.update(before + file.name for file in uploaded.files)
        return uploaded

    def _tree(self, name: str) -> dict[str, Any]:
        """The object of JSON that an object holds. Raises RecordError for anything else."""
        return parsed_json(b"".join(self.target.chunks(name)), Path(name))

    def _check(self, before: str, file: UploadedFile) -> Check:
        name = before + file.name
        if name not in self.sizes:
            return Check(file.name, Verdict.failed, "is missing; the upload is not complete, or it was removed")
        size, sha256 = sha256_of(self.target.chunks(name))
        self.done += 1
        self.bar(self.done, len(self.sizes))
        if (size, sha256) == (file.bytes, file.sha256):
            return Check(file.name, Verdict.ok, f"{size:,} bytes, sha256 {sha256[:16]}")
        text = f"uploaded with {file.bytes:,} bytes, sha256 {file.sha256[:16]}; now {size:,} bytes, {sha256[:16]}"
        return Check(file.name, Verdict.failed, f"altered: {text}")

    def _check_results(self, before: str, hashes: Mapping[str, str]) -> Iterator[Check]:
        """Hold what was uploaded against `outputs.json`, by which the run knows its results."""
        name = before + _OUTPUTS
        try:
            files = typed(Path(name), self._tree(name), Outputs).files
        except RecordError as error:
            yield Check(_OUTPUTS, Verdict.failed, str(error))
            return
        others = [file.name for file in files if hashes.get(file.name) != file.sha256]
        text = f"{plural(len(files), 'result')} as it names them"
        if others:
            text = f"its hashes of {listed(others, _MOST_NAMED)} are not those that were uploaded; one was altered"
        yield Check(_OUTPUTS, Verdict.failed if others else Verdict.ok, text)
