"""Versions of objects: ETag, size and time, by which a replaced object is noticed.

Servers and proxies give one ETag in several forms, and take fewer forms back as a precondition.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from runner.read.store_errors import ChangedError, StoreError

if TYPE_CHECKING:
    from obstore import Bytes, ObjectMeta

_ONE_SECOND: Final = timedelta(seconds=1)  # Last-Modified has whole seconds, a listing may have parts of them
_PARTS: Final = re.compile(r'(?:W/)?"?(.*?)(?:(?:--?|;)(?:gzip|br|deflate|zstd))?"?', re.IGNORECASE | re.DOTALL)
_PLAIN: Final = re.compile(r'"[!#-~]+"')  # RFC 9110, section 8.8.3: quoted and strong
_HEX: Final = re.compile(r"[0-9a-f]+(-[0-9]+)?", re.IGNORECASE)  # an MD5, with the number of parts; in either case
NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)  # obstore's, where an answer has no Last-Modified


class Version(NamedTuple):
    """The marks by which an object differs from one that replaces it; None where a store gives none."""

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
        """True if a replaced object of the same size would be noticed."""
        return self.etag is not None or self.modified is not None

    def is_other_than(self, now: "Version") -> bool:
        """True if these are two versions; times count only where ETags cannot be compared."""
        if self.size is not None and now.size is not None and self.size != now.size:
            return True
        if self.etag is not None and now.etag is not None:
            return not same_version(self.etag, now.etag)
        if self.modified is not None and now.modified is not None:
            return abs(self.modified - now.modified) >= _ONE_SECOND
        return False

    def is_proved_by(self, now: "Version") -> bool:
        """True if `now` says enough to be compared with this version."""
        by_etag = self.etag is not None and now.etag is not None
        by_time = self.modified is not None and now.modified is not None
        return by_etag or by_time or not self.is_known


class ObjectPart(NamedTuple):
    """Some bytes of an object, and what its store says of it: its whole size in bytes, and its version."""

    data: "Bytes"
    size: int
    version: Version


def version_of(meta: "ObjectMeta") -> Version:
    """The version in an answer of obstore."""
    modified = meta["last_modified"]
    return Version(meta["e_tag"], meta["size"], None if modified == NO_TIME else modified)


def refuse_changed(href: str, then: Version, now: Version, when: str = "during the run") -> None:
    """Raise ChangedError for another version than was known, StoreError for an answer that does not tell."""
    if then.is_other_than(now):
        raise ChangedError(href, f"changed {when}: it was {then}; it is now {now}; run again")
    if not then.is_proved_by(now):
        raise StoreError(
            href,
            "the server sends neither an ETag nor a Last-Modified to compare with those of the listing, so a replaced "
            "object would not be noticed; let the server, or the proxy before it, send them",
        )


def same_version(then: str, now: str) -> bool:
    """Compare two ETags by their meaning.

    Weak and strong, quoted and bare, the case of hexadecimal digits, and the ending a server adds for a compressed
    transfer make no difference.
    """
    return then == now or _meaning(then) == _meaning(now)


def if_match(etag: str | None) -> str | None:
    """The ETag as a precondition, or None if servers refuse its form.

    RFC 9110 (section 13.1.1) lets no weak ETag match, and a server does not recognize the ending for a compressed
    transfer that a module or a proxy has added.
    """
    plain = etag is not None and _PLAIN.fullmatch(etag) and _folded(etag.strip('"')) == _meaning(etag)
    return etag if plain else None


def _meaning(etag: str) -> str:
    parts = _PARTS.fullmatch(etag.strip())
    return _folded(parts[1] if parts else etag)


def _folded(tag: str) -> str:
    return tag.lower() if _HEX.fullmatch(tag) else tag
