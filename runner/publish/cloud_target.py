"""Objects of a bucket of Google Cloud Storage or a container of Azure, written once, by obstore."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError

from runner.errors import OutputError, printable
from runner.model import Location
from runner.publish.media_types import media_type
from runner.publish.target import Sent, of_output, refuse_damaged, sha256_of
from runner.read.fetch import FAILURES
from runner.read.refusals import refusal_of
from runner.read.store_errors import is_denied, reason_of
from runner.source.stores import Stores

_MOST_AT_ONCE: Final = 64 * 2**20  # bytes; larger files are sent in parts, to a name of their own
_ASIDE: Final = ".part"
_PART_BYTES: Final = 16 * 2**20
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class CloudTarget:
    """Objects below a prefix."""

    store: Any
    root: str  # gs://bucket or az://container
    prefix: str

    @classmethod
    def of(cls, root: str, prefix: str, stores: Stores) -> "CloudTarget":
        """The objects by these settings. Raises SourceError for an account or credentials that are not there."""
        return cls(stores.for_listing(Location(root, prefix)), root, prefix)

    @property
    def url(self) -> str:
        """The address."""
        return f"{self.root}/{self.prefix}".rstrip("/")

    def below(self, name: str) -> "CloudTarget":
        """The objects below a path."""
        return replace(self, prefix=self._key(name))

    def sizes(self) -> dict[str, int]:
        """The bytes of every object there is, without those that an upload in parts has left."""
        return dict(self._listed())

    def _listed(self) -> Iterator[tuple[str, int]]:
        """The same, page by page."""
        before, pages = self._key(""), iter(obstore.list(self.store, prefix=self.prefix or None))
        while (page := self._answer("", lambda: next(pages, None))) is not None:
            found = ((entry["path"], entry["size"]) for entry in page)
            yield from (
                (path.removeprefix(before), size)
                for path, size in found
                if path.startswith(before) and not path.endswith(_ASIDE)
            )

    def first(self) -> str | None:
        """The path of an object there is, or None."""
        return next((name for name, _ in self._listed()), None)

    def refuse_unwritable(self) -> None:
        """Raise OutputError if objects cannot be written, by a request that replaces an object that is not there."""
        name = f"{uuid4().hex}{_ASIDE}"  # of nobody's object: a server may make no conditions

        def replace_nothing() -> None:
            with suppress(PreconditionError, NotFoundError):
                obstore.put(self.store, self._key(name), b"", mode={"e_tag": '"0x0"', "version": "1"})
                obstore.delete(self.store, self._key(name))  # of such a server

        self._answer(name, replace_nothing)

    def put(self, name: str, path: Path, sha256: str, sent: Sent) -> bool:
        """Write a file as an object; False if there is one of this name."""
        size = path.stat().st_size
        small = size <= _MOST_AT_ONCE
        arrived = self._put_at_once(name, path.read_bytes()) if small else self._put_aside(name, path)
        if arrived:
            self._prove(name, sha256)
        sent(size)
        return arrived

    def put_bytes(self, name: str, body: bytes) -> bool:
        """Write a few bytes as an object; False if there is one of this name."""
        arrived = self._put_at_once(name, body)
        if arrived:
            self._prove(name, hashlib.sha256(body).hexdigest())
        return arrived

    def _put_at_once(self, name: str, body: bytes) -> bool:
        def put() -> bool:
            try:
                obstore.put(self.store, self._key(name), body, mode="create", **_attributes(name))
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

        return self._answer(name, put)

    def _put_aside(self, name: str, path: Path) -> bool:
        """In parts under another name, since no condition is made there; renamed if there is no object of this one."""
        aside = name + _ASIDE

        def put() -> bool:
            options = {"chunk_size": _PART_BYTES, "use_multipart": True, **_attributes(name)}
            obstore.put(self.store, self._key(aside), path, **options)
            try:
                obstore.copy(self.store, self._key(aside), self._key(name), overwrite=False)
            except (AlreadyExistsError, PreconditionError):
                return False
            finally:
                obstore.delete(self.store, self._key(aside))
            return True

        return self._answer(name, put)

    def _prove(self, name: str, sha256: str) -> None:
        _, arrived = sha256_of(self.chunks(name))
        if arrived != sha256:
            self._answer(name, lambda: obstore.delete(self.store, self._key(name)))
            refuse_damaged(self._href(name), sha256, arrived)

    def holds(self, name: str, path: Path, sha256: str) -> bool:
        """Tell if an object is the same bytes as a file, which are read back."""
        return sha256_of(self.chunks(name)) == (path.stat().st_size, sha256)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of an object."""
        stream = iter(self._answer(name, lambda: obstore.get(self.store, self._key(name)).stream()))
        while (chunk := self._answer(name, lambda: next(stream, None))) is not None:
            yield bytes(chunk)

    def drop_parts(self, names: set[str]) -> None:
        """Remove the objects under other names; parts that were never put together expire by themselves."""
        for name in names:
            with suppress(*FAILURES):
                obstore.delete(self.store, self._key(name) + _ASIDE)

    # --- requests -----------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _href(self, name: str) -> str:
        return printable(f"{self.root}/{self._key(name)}".rstrip("/"))

    def _answer(self, name: str, request: Callable[[], Answer]) -> Answer:
        href = self._href(name)
        try:
            return request()
        except FAILURES as error:
            refusal = refusal_of(error)
            if is_denied(error):
                code = (refusal and (refusal.code or refusal.status)) or 403
                raise OutputError(
                    f"{href}: access denied to write here ({code}); check the credentials, and that they allow to "
                    "list, read, write and delete objects"
                ) from error
            raise OutputError(f"{href}: {of_output(reason_of(error, href))}") from error


def _attributes(name: str) -> dict[str, Any]:
    return {"attributes": {"Content-Type": media_type(name).partition(";")[0]}}
