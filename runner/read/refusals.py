"""Refusals of a store: the status, its own code, and the message for the user.

Sources of the codes: Amazon S3 API Reference, "Error responses"; Google Cloud Storage, "XML API error codes"; Azure
Storage, "Blob service error codes".
"""

import re
from typing import Final, NamedTuple

from runner.read.network import cause_of_failure
from runner.read.services import S3, Service

_EXPIRED: Final = "the credentials have expired ({code}); {login}"
_CLOCK: Final = "the clock of this machine differs from the server's ({code}); set it"
_NOT_PUBLIC: Final = (
    "there is no such container, or it is not public ({code}); check its name; {access}; of the Planetary Computer: "
    "source.stac.sign=planetary_computer"
)
_NO_BUCKET: Final = "there is no such bucket; check its name and {setting}"
_REMEDIES: Final = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "RequestExpired": _CLOCK,
    "RequestTimeTooSkewed": _CLOCK,
    "InvalidObjectState": "it is archived ({code}); restore it first, or leave it out with source.exclude",
    "NoSuchBucket": _NO_BUCKET,
    "ContainerNotFound": "there is no such container; check its name, source.azure.account and {setting}",
    "ResourceNotFound": _NOT_PUBLIC,
    "PublicAccessNotPermitted": _NOT_PUBLIC,
    "BlobArchived": "it is archived ({code}); restore it first, or leave it out with source.exclude",
    "AccountIsDisabled": "the storage account is disabled ({code}); ask its owner",
}
_REGION: Final = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_THROTTLING: Final = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"}
)
_PASSING: Final = _THROTTLING | {"RequestTimeout", "InternalError", "ServiceUnavailable", "ServerBusy"}


class Refusal(NamedTuple):
    """An answer that refuses the request.

    `code` is the store's own, or ""; `region` is the bucket's, if the answer has it.
    """

    url: str
    status: int
    code: str
    body: str
    region: str | None = None

    @property
    def has_remedy(self) -> bool:
        """True if its code implies a remedy for any request."""
        return self.code in _REMEDIES or self.code in _REGION

    @property
    def may_pass(self) -> bool:
        """True if another attempt may succeed."""
        failing = self.status >= 500 and self.status != 501  # not implemented
        return not self.has_remedy and (failing or self.status in (408, 429) or self.code in _PASSING)


class RequestError(Exception):
    """A request that failed in a way for which neither obstore nor Python has an error."""


class RefusedError(RequestError):
    """The store answered with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"status {refusal.status} {refusal.code}")
        self.refusal = refusal


def refusal_in(url: str, status: int, body: str, region: str | None = None) -> Refusal:
    """A refusal with this status and body; the body has the store's code."""
    code = re.search(r"<Code>\s*([\w.]+)\s*</Code>", body)
    return Refusal(url, status, code[1] if code else "", body, region)


def refusal_of(error: BaseException) -> Refusal | None:
    """The refusal behind an error; obstore has it in its message only."""
    if isinstance(error, RefusedError):
        return error.refusal
    text = str(error).partition("\n\nDebug source")[0]
    if "redirect without LOCATION" in text:
        return Refusal(url_in(text), 301, "PermanentRedirect", "")
    answer = re.search(r"status code: (\d{3})[^:\n]*:? ?(.*)", text, re.DOTALL)
    return refusal_in(url_in(text), int(answer[1]), answer[2]) if answer else None


def url_in(text: str) -> str:
    """The first URL in a text, or nothing."""
    url = re.search(r"https?://[^\s\"',)]+", text)
    return url[0] if url else ""


def reason_of_refusal(refusal: Refusal, service: Service = S3) -> str:
    """The reason of a refusal, in one line, with the remedy."""
    _, status, code, _, region = refusal
    if code in _REMEDIES:
        return _REMEDIES[code].format(code=code, setting=service.address, login=service.login, access=service.access)
    if service is S3 and (code in _REGION or 300 <= status < 400):
        value = f"={region}" if region else ""
        return f"it lies in another region or at another endpoint (status {status}); set source.s3.region{value}"
    if code in _THROTTLING or status in (429, 503):
        return f"the server throttles (status {status}); use fewer workers, raise fetch.attempts or try later"
    return _reason_of_status(refusal, service)


def _reason_of_status(refusal: Refusal, service: Service) -> str:
    url, status, code, body, _ = refusal
    answer = f"status {status}, {code}" if code else f"status {status}"
    if status == 407:
        return "the proxy wants a login (status 407); put user and password into HTTP_PROXY and HTTPS_PROXY"
    if status == 416:
        return f"the server says that it ends before them, but not how long it is; check {service.address}"
    if refusal.may_pass:
        return f"the server fails ({answer}); try later"
    cause = cause_of_failure(body, url, service)
    settings = f"{service.address} and source.s3.region" if service is S3 else service.address
    return cause.sentence if cause else f"the server refuses ({answer}); check {settings}"
