"""Kinds of stores, by the scheme of an href, and the names that messages have for their settings."""

from typing import Final, NamedTuple


class Service(NamedTuple):
    """A kind of store in messages."""

    server: str  # with its article
    address: str  # the setting that has its address
    bundle: str  # the variable that names trusted authorities
    access: str  # the remedy where access is denied
    login: str  # the remedy where credentials have expired
    missing: tuple[str, ...]  # codes of an answer that an object is not there


S3: Final = Service(
    "an S3 server",
    "source.s3.endpoint_url",
    "AWS_CA_BUNDLE",
    "for a public bucket set source.s3.anonymous=true, else check AWS_PROFILE or source.s3.profile; "
    "some buckets want source.s3.requester_pays=true",
    "log in again, or renew AWS_SESSION_TOKEN",
    ("NoSuchKey", "NoSuchVersion", "NotFound"),
)
GCS: Final = Service(
    "a Google Cloud Storage server",
    "source.gcs.endpoint_url",
    "SSL_CERT_FILE",
    "for a public bucket set source.gcs.anonymous=true, else name a file of credentials in "
    "GOOGLE_APPLICATION_CREDENTIALS",
    "log in again (gcloud auth application-default login)",
    ("NoSuchKey", "NotFound"),
)
AZURE: Final = Service(
    "an Azure Blob server",
    "source.azure.endpoint_url",
    "SSL_CERT_FILE",
    "for a public container set source.azure.anonymous=true, else check source.azure.account and "
    "AZURE_STORAGE_SAS_TOKEN (has it expired?) or AZURE_STORAGE_ACCESS_KEY",
    "log in again, or renew AZURE_STORAGE_SAS_TOKEN",
    ("BlobNotFound",),
)
WEB: Final = Service(
    "a web server",
    "its address",
    "SSL_CERT_FILE",
    "if its address is signed, the signature may have expired: make a new one; a store that wants a login is read by "
    "its own scheme: s3://, gs:// or az://",
    "make a new address",
    (),
)
_BY_SCHEME: Final = {"s3": S3, "gs": GCS, "az": AZURE, "https": WEB, "http": WEB}


def service_of(href: str) -> Service | None:
    """The kind of store that an href is of; None for a file of this machine."""
    scheme, mark, _ = href.partition("://")
    return _BY_SCHEME.get(scheme) if mark else None


def is_remote(href: str) -> bool:
    """Tell if an href leads to a store or a web server, not to a file of this machine."""
    return service_of(href) is not None


def is_on_the_web(href: str) -> bool:
    """Tell if an href is a web address: its server lists nothing, and what follows `?` is not a part of the path."""
    return service_of(href) is WEB
