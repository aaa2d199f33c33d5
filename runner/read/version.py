"""Versions of objects: what a store says of one to tell it from another that takes its place."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from runner.read.etag import same_version
from runner.read.store_errors import ChangedError, StoreError

if TYPE_CHECKING:
    from obstore import ObjectMeta

_ONE_SECOND: Final = timedelta(seconds=1)  # Last-Modified has whole seconds, a listing may have parts of them
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)  # obstore's, where an answer has no Last-Modified


class Version(NamedTuple):
    """What tells an object from the one that replaces it; None for what a store does not say."""

    etag: str | None
    size: int | None  # bytes
    modified: datetime | None

    def __str__(self) -> str:
        """For people."""
        size = None if self.size is None else f"{self.size} bytes"
        time = None if self.modified is None else f"of {self.modified:%Y-%m-%d %H:%M:%S}"
        return ", ".join([f"ETag {self.etag}", *filter(None, (size, time))])

    @property
    def is_known(self) -> bool:
        """Whether a replaced object of the same size would be noticed."""
        return self.etag is not None or self.modified is not None

    def is_other_than(self, now: "Version") -> bool:
        """Whether these are two versions; times count only where ETags cannot be compared."""
        if self.size is not None and now.size is not None and self.size != now.size:
            return True
        if self.etag is not None and now.etag is not None:
            return not same_version(self.etag, now.etag)
        if self.modified is not None and now.modified is not None:
            return abs(self.modified - now.modified) >= _ONE_SECOND
        return False

    def is_proved_by(self, now: "Version") -> bool:
        """Whether `now` says enough to be held against this version."""
        by_etag = self.etag is not None and now.etag is not None
        by_time = self.modified is not None and now.modified is not None
        return by_etag or by_time or not self.is_known


def version_of(meta: "ObjectMeta") -> Version:
    """The version that an answer tells, in obstore's words."""
    modified = meta["last_modified"]
    return Version(meta["e_tag"], meta["size"], None if modified == _NO_TIME else modified)


def refuse_changed(href: str, then: Version, now: Version, when: str = "during the run") -> None:
    """Raise ChangedError for another version than was known, StoreError for an answer that does not tell."""
    if then.is_other_than(now):
        raise ChangedError(href, f"changed {when}: it was {then}; it is now {now}; run again")
    if not then.is_proved_by(now):
        raise StoreError(
            href,
            "the server sends neither an ETag nor a Last-Modified to hold against what it said before, so a replaced "
            "object would not be noticed; let the server, or the proxy before it, send them",
        )
