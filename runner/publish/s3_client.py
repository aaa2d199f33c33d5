"""botocore's client of S3 by the settings of an upload, and its errors in words."""

from typing import Any, Final
from urllib.parse import urlsplit

from runner.publish.target import of_output
from runner.read.network import CONNECT_SECONDS, ca_bundle, is_loopback
from runner.read.refusals import Refusal, RefusedError
from runner.read.store_errors import ConnectionFailedError, is_denied, reason_of
from runner.source.stores import Stores, endpoint_of

_NO_RIGHT: Final = (
    "access denied to write here ({code}); check AWS_PROFILE or output.s3.profile, and that they allow s3:PutObject, "
    "s3:GetObject, s3:ListBucket and s3:AbortMultipartUpload"
)


def client_of(stores: Stores) -> Any:
    """A client that tries again as `fetch` says, and that threads may share. Raises SourceError."""
    from botocore import UNSIGNED  # noqa: PLC0415 - a quarter of a second that runs without uploads spare
    from botocore.config import Config  # noqa: PLC0415 - as above

    endpoint = endpoint_of(stores.s3)
    own = {"signature_version": UNSIGNED} if stores.s3.anonymous else {}
    direct: dict[str, Any] = {"proxies": {}} if endpoint and is_loopback(urlsplit(endpoint).hostname or "") else {}
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=stores.fetch.timeout_seconds,
        retries={"total_max_attempts": stores.fetch.attempts, "mode": "standard"},
        max_pool_connections=32,
        s3={"addressing_style": "path"} if endpoint else {},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **own,
        **direct,
    )
    return stores.credentials.client(config, endpoint, ca_bundle())


def unanswered(error: Any) -> ConnectionFailedError:
    """A request that got no answer, with the cause that botocore wraps."""
    about = getattr(error, "kwargs", {})
    return ConnectionFailedError(str(about.get("endpoint_url") or ""), about.get("error") or error)


def refusal_behind(error: Any) -> Refusal:
    """The refusal behind a ClientError of botocore."""
    answer = error.response
    about, meta = answer.get("Error", {}), answer.get("ResponseMetadata", {})
    code, status = str(about.get("Code", "")), int(meta.get("HTTPStatusCode", 0))
    region = meta.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return Refusal("", status, "" if code == str(status) else code, str(about.get("Message", "")), region)


def in_words(refusal: Refusal, href: str) -> str:
    """The reason why an object cannot be written, with the remedy."""
    error = RefusedError(refusal)
    if is_denied(error):
        return _NO_RIGHT.format(code=refusal.code or refusal.status)
    if refusal.code in ("BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest"):
        return f"what arrived is not what was sent ({refusal.code}); check proxies and the network, and resume"
    if refusal.status == 404 and refusal.code != "NoSuchBucket":
        return f"it is not there ({refusal.code or 404}); somebody removed it"
    return of_output(reason_of(error, href))
