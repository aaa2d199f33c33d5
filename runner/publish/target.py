"""The target of an upload: objects below one address, written once and never over another."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn, Protocol

from runner.errors import OutputError, printable

CHUNK_BYTES: Final = 8 * 2**20  # of a file in memory, and of a part of an upload
Sent = Callable[[int], None]  # is called with the bytes that have arrived since the last call


class Target(Protocol):
    """Objects below one address, by their paths from there. What fails raises OutputError, which names the object."""

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""

    def below(self, name: str) -> "Target":
        """The objects below a path."""

    def sizes(self) -> dict[str, int]:
        """The bytes of every object there is."""

    def first(self) -> str | None:
        """The path of an object there is, or None."""

    def refuse_unwritable(self) -> None:
        """Raise OutputError if objects cannot be written here. Nothing is left by the question."""

    def put(self, name: str, path: Path, sha256: str, sent: Sent) -> bool:
        """Write a file of this hash as an object, and prove that it arrived; False if there is one of this name."""

    def put_bytes(self, name: str, body: bytes) -> bool:
        """Write a few bytes in the same way."""

    def holds(self, name: str, path: Path, sha256: str) -> bool:
        """Tell if an object that exists is the same bytes as this file of this hash."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of an object."""

    def drop_parts(self, names: set[str]) -> None:
        """Remove what an upload that was killed has left of these objects, which no listing of objects shows."""


def shown(url: str) -> str:
    """An address in messages."""
    return printable(url.rstrip("/"))


def of_output(text: str) -> str:
    """A remedy for a source, as one for an upload, whose settings have the same names below `output`."""
    for service in ("s3", "gcs", "azure"):
        text = text.replace(f"source.{service}.", f"output.{service}.")
    return text.replace("for a public bucket set output.s3.anonymous=true, else check", "check")


def refuse_damaged(href: str, wanted: str, got: str) -> NoReturn:
    """Raise OutputError for an object that is not what was sent."""
    raise OutputError(
        f"{printable(href)}: what arrived is not what was sent (sha256 {got[:16]}, wanted {wanted[:16]}), and was "
        "removed; check proxies and the store, and resume"
    )


def sha256_of(chunks: Iterator[bytes]) -> tuple[int, str]:
    """The number of bytes and their hash."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def parts_of(path: Path, part_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """A file part by part; an empty one has none."""
    with path.open("rb") as file:
        while part := file.read(part_bytes):
            yield part
