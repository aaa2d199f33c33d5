"""What a store's refusals and failures mean: whether another attempt may succeed, and what to tell the user."""

import errno
import re
from typing import Final

from obstore.exceptions import (
    GenericError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from runner.errors import ReadError

_DENIED: Final = (PermissionDeniedError, UnauthenticatedError)
_LASTING: Final = ("non-partial response", "range was invalid", "Generic LocalFileSystem error")  # in obstore's words

ACCESS_HINT: Final = (
    "for a public bucket set source.s3.anonymous=true, else check AWS_PROFILE or source.s3.profile; "
    "some buckets want source.s3.requester_pays=true"
)

LOCAL_HINT: Final = "give yourself the right to read it (chmod), or leave it out of source.url"


class MissingError(ReadError):
    """The object is gone."""


class DeniedError(ReadError):
    """The object may not be read with these credentials, or the file by this user."""


class ChangedError(ReadError):
    """The object is not the one that was listed."""


class ShortBodyError(Exception):
    """A body of so many bytes, fewer than asked for."""


def status_of(error: BaseException) -> int | None:
    """The HTTP status in obstore's message, which has no field for it."""
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else None


def may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed."""
    if isinstance(error, (ShortBodyError, TimeoutError)):
        return True
    status = status_of(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    return isinstance(error, GenericError) and not any(words in str(error) for words in _LASTING)


def explain(error: BaseException, href: str, part: str, attempts: int) -> ReadError:
    """The last error of `attempts` to read a part of an object, in the user's words: what, where, and what to do."""
    if "NoSuchBucket" in str(error):
        return MissingError(href, "there is no such bucket; check its name and source.s3.endpoint_url")
    if isinstance(error, (NotFoundError, FileNotFoundError)):
        return MissingError(href, "not found: it never was there, or is gone since it was listed; run again")
    if isinstance(error, PreconditionError):
        return ChangedError(href, "changed during the run: its ETag is no longer the listed one; run again")
    if isinstance(error, _DENIED):
        return DeniedError(href, f"access denied to {part} ({status_of(error) or 403}); {ACCESS_HINT}")
    if "LocalFileSystem" in str(error) and f"(os error {errno.EACCES})" in str(error):
        return DeniedError(href, f"permission denied; {LOCAL_HINT}")
    times = f" after {attempts} attempts" if attempts > 1 else ""
    return ReadError(href, f"{part} unread{times}: {reason_of(error)}")


def reason_of(error: BaseException) -> str:
    """Why a store did not do what was asked of it, in one line, with what to do.

    URLs are cut off, since a signed one is a secret.
    """
    if isinstance(error, ShortBodyError):
        return f"the body ends early, with {error} bytes; try later"
    if isinstance(error, TimeoutError):
        return "no answer within fetch.timeout; raise it or try later"
    status = status_of(error)
    return _reason_in_text(str(error)) if status is None else _reason_of_status(status)


def _reason_of_status(status: int) -> str:
    if status in (429, 503):
        return f"the server throttles (status {status}); use fewer workers, raise fetch.attempts or try later"
    if status >= 500:
        return f"the server fails (status {status}); try later"
    if status == 416:
        return "it ends before them; upload it again"
    if 300 <= status < 400:
        return f"it lies in another region (status {status}); set source.s3.region"
    return f"the server refuses with status {status}; check source.s3.endpoint_url and source.s3.region"


def _reason_in_text(text: str) -> str:
    """The reason where there is no status; obstore says it at the end of its first line."""
    if "non-partial response" in text:
        return (
            "the server ignores Range requests, or answers with a page of its own; check source.s3.endpoint_url, "
            "and serve the objects from a store that honours ranges"
        )
    if "range was invalid" in text:
        return _reason_of_status(416)
    cause = re.sub(r"^(Generic \w+ error: |HTTP error: )+", "", text.partition("\n")[0].rpartition(" - ")[2])
    if "Generic LocalFileSystem error" in text:
        return f"{cause}; check the file"
    return f"the connection fails: {re.sub(r'https?://[^ ]+', '<url>', cause)}; try later"
