"""Failures of a store: the decision to try again, whose fault they are, and the message for the user.

Three kinds must not be mixed up. The object is at fault (gone, truncated, damaged, not a TIFF): `ReadError` and
`MissingError`, which `on_error=skip` may leave out. The object was replaced: `ChangedError`. Everything else is the
fault of the store, the credentials, the network or this machine: `StoreError`, which ends a run.
"""

import errno
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from obstore.exceptions import (
    GenericError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from runner.errors import ReadError, printable
from runner.read.network import SENT_ON, cause_of_failure, endpoint_and_host, proxy_of, speaks_tls
from runner.read.refusals import Refusal, RequestError, reason_of_refusal, refusal_of, url_in
from runner.read.services import S3, Service, is_on_the_web, is_remote, service_of

_DENIED: Final = (PermissionDeniedError, UnauthenticatedError)
_PASSING_LOCALLY: Final = (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)

_NO_RANGES: Final = (
    "the server ignores Range requests, or answers with a page of its own; check {setting}, "
    "and serve the objects from a store that honours ranges"
)
_NO_KEYS: Final = "External AWS credential provider: SourceError: "  # in obstore's words; what follows is ours
_NO_SAS: Final = "External Azure credential provider: "
UNSENT: Final = (  # in place of a client's words, which repeat the header
    "a header of the request holds a character that cannot be sent; check that the keys and the token of the "
    "environment, or of source.s3.profile, are one line of ASCII each"
)
_NO_TOKEN: Final = "Error performing token request"  # noqa: S105 - obstore's, for the credentials of Google and Azure
_METADATA: Final = ("169.254.169.254", "metadata.google.internal")  # where a machine of a cloud asks who it is
_NO_FILE: Final = "no file of Google's credentials is where GOOGLE_APPLICATION_CREDENTIALS says; name one, or unset it"
_LASTING: Final = {  # by obstore's words
    "non-partial response": _NO_RANGES,
    "Range request not supported": _NO_RANGES,
    "range was invalid": "it ends before them; read it again",
    "Invalid header": UNSENT,
    "failed to parse header value": UNSENT,
    "Unable to open service account file": _NO_FILE,
    "Unable to decode service account file": _NO_FILE,
    "Unable to decode credentials file": _NO_FILE,
    "Invalid Access Key": "AZURE_STORAGE_ACCESS_KEY is not a key of a storage account, in base64; copy it again",
    "following redirect": "the server sends from one address to the next; check {setting}",
}
_WRONG_RANGE: Final = (
    "the server answers with another range than was asked for, or does not say with which (Content-Range); check "
    "{setting} and proxies, or serve the objects from a store that honours ranges"
)
_OTHER_RANGE: Final = dict.fromkeys(("UnexpectedRange", "NoContentRange", "ParseContentRange"), _WRONG_RANGE)

LOCAL_HINT: Final = "give yourself the right to read it (chmod), or leave it out of source.url"
UNREADABLE_KEY: Final = (
    "its key has an empty or dotted part (//, /./, /../) or a control character, which the readers do not take; "
    "copy it to another key"
)


class StoreError(ReadError):
    """The store, the credentials, the network or this machine fails, not the object."""


class DeniedError(StoreError):
    """The object may not be read with these credentials, or the file by this user."""


class ChangedError(StoreError):
    """The object is not the one that was listed."""


class MissingError(ReadError):
    """The object does not exist, or was deleted."""


class ShortBodyError(RequestError):
    """A body with fewer bytes than requested; its argument is their number."""


class BrokenPageError(RequestError):
    """An answer that is not all of a page of a listing, or another page; the next attempt may get it."""


class ForeignPageError(RequestError):
    """An answer that is not S3's."""


class ConnectionFailedError(RequestError):
    """A request that got no answer; `origin` is the URL that was redirected to this one, if it was."""

    def __init__(self, url: str, error: Exception, origin: str | None = None) -> None:
        super().__init__(f"{url.partition('?')[0]}: {type(error).__name__}: {error}")
        self.origin = origin


def is_readable(key: str) -> bool:
    """True if obstore and GDAL request an object by exactly this key."""
    return not {"", ".", ".."} & set(key.split("/")) and not re.search(r"[\x00-\x1f\x7f]", key)


# --- decisions --------------------------------------------------------------------------------------------------


def may_pass(error: BaseException) -> bool:
    """True if another attempt may succeed."""
    if isinstance(error, (ShortBodyError, BrokenPageError, TimeoutError)):
        return True
    refusal = refusal_of(error)
    if refusal is not None:
        return refusal.may_pass
    if _NO_TOKEN in str(error) and _asks_metadata(error):
        return False
    if _is_local(error):
        return _os_error(error) in _PASSING_LOCALLY
    cause = cause_of_failure(str(error), url_in(str(error)))
    lasting = any(words in str(error) for words in _LASTING) or (cause is not None and not cause.passing)
    return isinstance(error, (GenericError, ConnectionFailedError)) and not lasting


def _asks_metadata(error: BaseException) -> bool:
    """True if a client found no credentials, and asked for those of a cloud's machine."""
    return any(host in url_in(str(error)) for host in _METADATA)


def is_denied(error: BaseException) -> bool:
    """True if a store refuses these credentials, without a code that has a remedy of its own."""
    refusal = refusal_of(error)
    if _NO_TOKEN in str(error):
        return False
    if refusal is None:
        return isinstance(error, _DENIED)
    return not refusal.has_remedy and (isinstance(error, _DENIED) or refusal.status in (401, 403))


def is_past_the_end(error: BaseException) -> bool:
    """True if a store says that an object ends before the requested range."""
    refusal = refusal_of(error)
    return "range was invalid" in str(error) or (refusal is not None and refusal.status == 416)


def is_missing(error: BaseException) -> bool:
    """True if an object, or its bucket, does not exist."""
    refusal = refusal_of(error)
    missing = isinstance(error, (NotFoundError, FileNotFoundError)) or _os_error(error) == errno.ENOTDIR
    return missing or (refusal is not None and refusal.status == 404)


def explain(error: BaseException, href: str, part: str, attempts: int) -> ReadError:
    """The error for the user after `attempts` to read a part of an object: what, where, and what to do."""
    refusal = refusal_of(error)
    if _NO_TOKEN in str(error):
        return StoreError(href, reason_of(error, href))
    if refusal is not None and refusal.has_remedy:
        return StoreError(href, reason_of_refusal(refusal, service_of(href) or S3))
    if is_missing(error):
        return _missing(href, refusal)
    if isinstance(error, PreconditionError):
        return ChangedError(href, "changed during the run: its ETag is no longer the listed one; run again")
    return _denied(error, href, part) or _unread(error, href, part, attempts)


def _denied(error: BaseException, href: str, part: str) -> ReadError | None:
    if _NO_KEYS in str(error):
        return StoreError(href, str(error).partition(_NO_KEYS)[2].partition("\n")[0])
    if _NO_SAS in str(error):
        return StoreError(href, "the Planetary Computer gives no token for its container; check source.stac.sign")
    if is_denied(error):
        refusal = refusal_of(error)
        return DeniedError(href, f"access denied to {part} ({refusal.status if refusal else 403}); {access_hint(href)}")
    if _is_local(error) and _os_error(error) == errno.EACCES:
        return DeniedError(href, f"permission denied; {LOCAL_HINT}")
    return None


def _missing(href: str, refusal: Refusal | None) -> ReadError:
    """A missing object; a 404 that is not the store's, or a missing folder, proves nothing of the object.

    A web server has no words of its own, so that its 404 is believed.
    """
    service = service_of(href)
    if service and service.missing and refusal is not None and refusal.code not in service.missing:
        sender = refusal.code or ("a page of a proxy or a web server" if refusal.body.strip() else "an empty one")
        return StoreError(href, f"the answer 404 is not {service.server}'s ({sender}); check {service.address}")
    if service is None and not _holds_files(Path(href).parent):
        return StoreError(
            href, f"its folder {Path(href).parent} is gone or empty; mount it again, or leave it out of source.url"
        )
    return MissingError(href, _broken_link(href) or "not found: it was never there, or was deleted after it was listed")


def _broken_link(href: str) -> str | None:
    """The message for a local link that leads nowhere, or None."""
    if is_remote(href) or not Path(href).is_symlink():
        return None
    return f"a link to {printable(str(Path(href).readlink()))}, where there is no file; fetch it, or mount its folder"


def _holds_files(folder: Path) -> bool:
    """True if a folder is not empty; a lost mount leaves an empty one."""
    try:
        return any(folder.iterdir())
    except PermissionError:
        return True
    except OSError:
        return False


def _unread(error: BaseException, href: str, part: str, attempts: int) -> ReadError:
    if "parse path" in str(error):
        return ReadError(href, UNREADABLE_KEY)
    times = f" after {attempts} attempts" if attempts > 1 else ""
    return StoreError(href, f"{part} unread{times}: {reason_of(error, href)}")


# --- messages ---------------------------------------------------------------------------------------------------


def access_hint(href: str) -> str:
    """The remedy where a store denies access to an object."""
    signed = "; of the Planetary Computer, set source.stac.sign=planetary_computer" if _in_blobs(href) else ""
    return (service_of(href) or S3).access + signed


def _in_blobs(href: str) -> bool:
    """True for a web address in Azure's blob storage."""
    return is_on_the_web(href) and ".blob.core.windows.net/" in href


def reason_of(error: BaseException, href: str = "") -> str:
    """The reason of a failure to read an object, in one line, with the remedy.

    URLs are cut off, since a signed one is a secret.
    """
    refusal, service = refusal_of(error), service_of(href) or S3
    if refusal is not None or _NO_TOKEN in str(error):
        return _of_refusal(error, refusal, service)
    if isinstance(error, ShortBodyError):
        return f"the body ends early, with {error} bytes; try later"
    if isinstance(error, (BrokenPageError, ForeignPageError)):
        return f"the server sends {error}"
    if isinstance(error, TimeoutError):
        return "no answer within fetch.timeout; raise it or try later"
    reason = _reason_in_text(str(error), service)
    if isinstance(error, ConnectionFailedError) and error.origin:
        return SENT_ON.format(endpoint=endpoint_and_host(error.origin)[0], reason=reason)
    return reason


def _of_refusal(error: BaseException, refusal: Refusal | None, service: Service) -> str:
    """The reason of a refusal, or why there is no token: its answer is left out, since it may hold a secret."""
    if refusal is not None and _NO_TOKEN not in str(error):
        return reason_of_refusal(refusal, service)
    if _asks_metadata(error):
        return f"no credentials are found; {service.access}"
    endpoint = endpoint_and_host(url_in(str(error)))[0]
    status = f" (status {refusal.status})" if refusal else ""
    return f"{endpoint} gives no token for these credentials{status}; {service.login}"


def _reason_in_text(text: str, service: Service) -> str:
    """The reason if there is no answer; obstore puts it at the end of its first line."""
    url = url_in(text)
    known = next((sentence for words, sentence in (_LASTING | _OTHER_RANGE).items() if words in text), None)
    cause = cause_of_failure(text, url, service)
    if known or cause:
        return known.format(setting=service.address) if known else cause.sentence if cause else ""
    words = re.sub(r"^(Generic \w+ error: |HTTP error: )+", "", text.partition("\n")[0].rpartition(" - ")[2])
    if "LocalFileSystem" in text:
        return f"{words}; check the file"
    if _hides_tls(url, text):
        return f"{endpoint_and_host(url)[0]} speaks TLS: write https:// in {service.address}"
    return f"the connection fails: {re.sub(r'https?://[^ ]+', '<url>', words)}; try later"


def _hides_tls(url: str, text: str) -> bool:
    """True if a server that hangs up on plain HTTP would shake hands for TLS."""
    hangs_up = url.startswith("http:") and re.search(r"reset|closed|aborted|incomplete", text, re.IGNORECASE)
    parts = urlsplit(url)
    return bool(hangs_up) and proxy_of(url) is None and speaks_tls(parts.hostname or "", parts.port or 80)


def _is_local(error: BaseException) -> bool:
    return "LocalFileSystem" in str(error)


def _os_error(error: BaseException) -> int | None:
    """The number of the system's error in obstore's message."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return int(number[1]) if number else None
