"""One S3 setting, translated for each client that reads the bucket: obstore, botocore, GDAL."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import LocalStore, S3Store

from runner.errors import SourceError
from runner.model import Location
from runner.read.fetch import FetchCounts, FetchOptions
from runner.read.network import CONNECT_SECONDS, ca_bundle, direct_loopback
from runner.settings import S3Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

_CLIENT: "ClientConfig" = {"connect_timeout": f"{CONNECT_SECONDS}s", "allow_http": True}
_SENDABLE = re.compile(r"[!-~]([ -~]*[!-~])?")
_SOURCES = "check credential_process, ~/.aws/config and ~/.aws/credentials, and the AWS variables"
_NO_TIMEOUT = timedelta(days=1)  # obstore has half a minute where none is given


class Stores:
    """The stores of a source, one for each bucket, opened when first asked for; and what asking them has cost so far.

    Picklable: a worker process opens its own. Their clients neither retry nor time out, which is left to `read.fetch`.
    """

    def __init__(self, s3: S3Settings, fetch: FetchOptions | None = None) -> None:
        self.s3 = s3
        self.fetch = fetch or FetchOptions()
        self.counts = FetchCounts()
        self._open: dict[str | None, S3Store | LocalStore] = {}

    def __reduce__(self) -> tuple[type["Stores"], tuple[S3Settings, FetchOptions]]:
        """Only the settings travel."""
        return type(self), (self.s3, self.fetch)

    def beside(self) -> "Stores":
        """The same stores, for another run of this process: their connections are shared, their costs are not."""
        other = type(self)(self.s3, self.fetch)
        other._open = self._open  # noqa: SLF001 - of the same class
        return other

    def of(self, location: Location) -> S3Store | LocalStore:
        """The store that holds this object; its path there is `location.key`."""
        bucket = location.bucket
        if bucket not in self._open:
            self._open[bucket] = LocalStore() if bucket is None else self.s3_store(bucket)
        return self._open[bucket]

    def s3_store(self, bucket: str) -> S3Store:
        """A store for one bucket."""
        endpoint = endpoint_of(self.s3)
        options: dict[str, Any] = {"endpoint": endpoint, "virtual_hosted_style_request": False} if endpoint else {}
        if self.s3.anonymous:
            options["skip_signature"] = True
        else:
            self._credentials()  # now, since obstore buries what its provider raises
            options["credential_provider"] = self._credentials
        client: ClientConfig = {**_CLIENT, "timeout": _NO_TIMEOUT}
        if authorities := _authorities():
            client["root_certificate"] = authorities
        return S3Store(
            bucket,
            region=self.region,
            request_payer=self.s3.requester_pays,
            client_options=client,
            retry_config={"max_retries": 0},
            **options,
        )

    @cached_property
    def _session(self) -> Any:
        from botocore.exceptions import ProfileNotFound  # noqa: PLC0415 - a quarter of a second that anonymous
        from botocore.session import Session  # noqa: PLC0415 - reading spares

        logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)  # its tracebacks show a helper's output
        session = Session(profile=self.s3.profile)
        try:
            session.get_config_variable("region")
        except ProfileNotFound as error:
            raise SourceError(f"source.s3.profile={self.s3.profile}: {error}; see ~/.aws/config") from error
        return session

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        chosen = self.s3.region or (None if self.s3.anonymous else self._session.get_config_variable("region"))
        return chosen or "us-east-1"

    def keys(self) -> Any:
        """The access key, secret key and token of the AWS chain: environment, profile, web identity, instance.

        They are renewed by botocore. Raises SourceError.
        """
        session = self._session
        try:
            found = session.get_credentials()
            keys = found and found.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - a helper of this machine may print anything
            # Without its cause: a log's traceback would hold what a helper printed.
            raise SourceError(
                f"AWS credentials: {_of_credentials(error)}; log in again, or choose another source.s3.profile"
            ) from None
        if keys is None:
            raise SourceError(
                "no AWS credentials found: set source.s3.anonymous=true for a public bucket, "
                "or AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or source.s3.profile"
            )
        _refuse_unsendable(keys)
        return keys

    def _credentials(self) -> "S3Credential":
        keys, soon = self.keys(), datetime.now(UTC) + timedelta(minutes=5)
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": soon,
        }


def _authorities() -> bytes | None:
    """The certificates of trusted authorities that the environment names; obstore takes them beside its own."""
    bundle = ca_bundle()
    return Path(bundle).read_bytes() if bundle else None


def _refuse_unsendable(keys: Any) -> None:
    """Raise SourceError, without its value, for a key or token that no request can carry."""
    parts = (("access key", keys.access_key), ("secret key", keys.secret_key), ("session token", keys.token))
    for name, value in parts:
        if not isinstance(value, str) and not (value is None and name == "session token"):
            raise SourceError(f"AWS credentials: the {name} is not text but of type {type(value).__name__}; {_SOURCES}")
        if name != "secret key" and value and not _SENDABLE.fullmatch(value):  # the secret itself is never sent
            raise SourceError(
                f"AWS credentials: the {name} holds a character that cannot be sent, such as a line break; "
                f"copy it again as one line of ASCII; {_SOURCES}"
            )


def _of_credentials(error: Exception) -> str:
    """The reason why botocore gets no credentials, without the text of a helper or a service of this machine.

    These may hold a secret: credential_process prints keys, and a metadata service sends them.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as in _session

    provider = getattr(error, "kwargs", {}).get("provider")
    if provider:
        return f"the provider {provider} fails (its own text is left out, since it may hold a secret)"
    if isinstance(error, RuntimeError) and "expired" in str(error):  # botocore's, after a renewal
        return "they have expired, and those that they are renewed by have too"
    if isinstance(error, (BotoCoreError, ClientError)):
        return str(error).partition("\n")[0]
    return f"they cannot be read ({type(error).__name__}); {_SOURCES}"


def network_environment(s3: S3Settings) -> dict[str, str]:
    """Variables by which all clients take the same way: no proxy for this machine, the same trusted authorities."""
    bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    return direct_loopback(endpoint_of(s3)) | ({"GDAL_CURL_CA_BUNDLE": bundle} if bundle else {})


def endpoint_of(s3: S3Settings) -> str | None:
    """The endpoint of the setting, else of the environment, as all AWS clients read it; None for AWS itself."""
    return s3.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def gdal_s3_options(s3: S3Settings) -> Mapping[str, str]:
    """The setting as GDAL's configuration options, which it reads from the environment of every worker."""
    options = {"AWS_REGION": s3.region, "AWS_PROFILE": s3.profile}
    if s3.anonymous:
        options["AWS_NO_SIGN_REQUEST"] = "YES"
    if s3.requester_pays:
        options["AWS_REQUEST_PAYER"] = "requester"
    endpoint = endpoint_of(s3)
    if endpoint:
        parts = urlsplit(endpoint)
        options |= {
            "AWS_S3_ENDPOINT": parts.netloc + parts.path.rstrip("/"),
            "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    return {name: value for name, value in options.items() if value}


def gdal_path(location: Location) -> str:
    """The path by which GDAL opens an object; /vsis3/ keeps rasterio from looking for credentials of its own."""
    return location.key if location.bucket is None else f"/vsis3/{location.bucket}/{location.key}"


def describe(s3: S3Settings) -> str:
    """A short form of the setting, for error messages."""
    return ", ".join(f"{name}={value}" for name, value in asdict(s3).items() if value) or "the AWS defaults"
