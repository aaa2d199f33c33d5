"""`uploaded.json`: every object that a run has left in a bucket, with its hash.

It lies in the bucket too. There it is written before `outputs.json`, the last of a stack's objects; in the run's folder
it appears once all of them are there.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from runner.base.atomic import remove_asides, written_aside
from runner.base.humanize import plural, size
from runner.errors import RecordError
from runner.record.json_files import read_json, typed

UPLOADED: Final = "uploaded.json"


class UploadedFile(Struct, frozen=True):
    """One object; `name` is its path below the address of the upload."""

    name: str
    bytes: int
    sha256: str


class Uploaded(Struct, frozen=True, kw_only=True):
    """The address of an upload, and its objects."""

    schema: Literal[1] = 1
    url: str
    files: tuple[UploadedFile, ...]


def uploaded_text(url: str, files: Sequence[UploadedFile]) -> str:
    """The same text for the same objects."""
    ordered = tuple(sorted(files, key=lambda file: file.name))
    return msgspec.json.format(msgspec.json.encode(Uploaded(url=url, files=ordered)), indent=1).decode() + "\n"


def keep_uploaded(folder: Path, text: str) -> None:
    """Write it into the folder of a run whose upload is complete. Raises OutputError."""
    remove_asides(folder, [UPLOADED])  # a complete run is not claimed again, which would remove them
    with written_aside(folder / UPLOADED) as aside:
        aside.write_text(text, "utf-8")


def read_uploaded(folder: Path) -> Uploaded | None:
    """The complete upload of a run; None if there is none. Raises RecordError if its file was altered."""
    file = folder / UPLOADED
    return checked(file, read_json(file)) if file.exists() else None


def checked(file: Path, tree: dict[str, Any]) -> Uploaded:
    """The record in a tree of JSON, all of whose objects lie below the address. Raises RecordError."""
    uploaded = typed(file, tree, Uploaded)
    for entry in uploaded.files:
        path = PurePosixPath(entry.name)
        if path.is_absolute() or ".." in path.parts or str(path) != entry.name:
            raise RecordError(f"{file} names '{entry.name}', which does not lie below it; it was altered")
    return uploaded


class UploadState(NamedTuple):
    """The address of a run's upload. `files` are its objects, each proved to have arrived; None until all are there."""

    url: str
    files: tuple[UploadedFile, ...] | None

    @property
    def words(self) -> str:
        """`s3://bucket/means: complete, 12 objects, 3.4 MB, each verified by its hash`."""
        if self.files is None:
            return f"{self.url}: not complete"
        own = [file for file in self.files if not file.name.startswith("stacks/")]
        stacks = f"{plural(len(self.files) - len(own), 'stack')}, and of the archive " if own != [*self.files] else ""
        amount = f"{plural(len(own), 'object')}, {size(sum(file.bytes for file in own))}"
        return f"{self.url}: complete, {stacks}{amount}, each verified by its hash"


def upload_state(folder: Path, url: str | None) -> UploadState | None:
    """The upload of a run that was to go to `url`, if to any; None if it was not uploaded, and was not to be."""
    try:
        uploaded = read_uploaded(folder)
    except RecordError:
        uploaded = None
    if uploaded is not None:
        return UploadState(uploaded.url, uploaded.files)
    return UploadState(url.rstrip("/"), None) if url else None


def lacks_upload(folder: Path, url: str | None) -> bool:
    """Tell if a run was to be uploaded to this address, and was not."""
    if not url:
        return False
    try:
        uploaded = read_uploaded(folder)
    except RecordError:
        return True
    return uploaded is None or uploaded.url != url.rstrip("/")
