"""One S3 setting, translated for each client that reads the bucket: obstore, s3fs, GDAL."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import LocalStore, S3Store

from runner.errors import SourceError
from runner.model import Location
from runner.settings import S3Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

_CLIENT: "ClientConfig" = {"connect_timeout": "10s", "allow_http": True}
_TIMEOUT = timedelta(minutes=1)
_NO_TIMEOUT = timedelta(days=1)  # obstore has half a minute where none is given
_RETRY_TIMEOUT = timedelta(minutes=2)


class Stores:
    """The stores of a source, one for each bucket, opened when first asked for.

    Picklable: a worker process opens its own. `client_retries` are obstore's; without any, retries and timeouts are
    left to `read.fetch`.
    """

    def __init__(self, s3: S3Settings, client_retries: int = 8) -> None:
        self.s3 = s3
        self.client_retries = client_retries
        self._open: dict[str | None, S3Store | LocalStore] = {}

    def __reduce__(self) -> tuple[type["Stores"], tuple[S3Settings, int]]:
        """Only the settings travel."""
        return type(self), (self.s3, self.client_retries)

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
        return S3Store(
            bucket,
            region=self._region,
            request_payer=self.s3.requester_pays,
            client_options={**_CLIENT, "timeout": _TIMEOUT if self.client_retries else _NO_TIMEOUT},
            retry_config={"max_retries": self.client_retries, "retry_timeout": _RETRY_TIMEOUT},
            **options,
        )

    @cached_property
    def _session(self) -> Any:
        from botocore.exceptions import ProfileNotFound  # noqa: PLC0415 - a quarter of a second that anonymous
        from botocore.session import Session  # noqa: PLC0415 - reading spares

        session = Session(profile=self.s3.profile)
        try:
            session.get_config_variable("region")
        except ProfileNotFound as error:
            raise SourceError(f"source.s3.profile={self.s3.profile}: {error}; see ~/.aws/config") from error
        return session

    @property
    def _region(self) -> str:
        chosen = self.s3.region or (None if self.s3.anonymous else self._session.get_config_variable("region"))
        return chosen or "us-east-1"

    def _credentials(self) -> "S3Credential":
        """Keys from the AWS chain: environment, profile, web identity, instance; renewed by botocore."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as in _session

        try:
            found = self._session.get_credentials()
            keys = found and found.get_frozen_credentials()
        except BotoCoreError as error:
            raise SourceError(f"AWS credentials: {error}; log in again, or choose another source.s3.profile") from error
        if keys is None:
            raise SourceError(
                "no AWS credentials found: set source.s3.anonymous=true for a public bucket, "
                "or AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or source.s3.profile"
            )
        soon = datetime.now(UTC) + timedelta(minutes=5)
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": soon,
        }


def endpoint_of(s3: S3Settings) -> str | None:
    """The endpoint of the setting, else of the environment, as all AWS clients read it; None for AWS itself."""
    return s3.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def s3fs_options(s3: S3Settings) -> dict[str, Any]:
    """The same setting for s3fs, and for pandas' `storage_options`."""
    client = {name: value for name, value in (("region_name", s3.region),) if value}
    return {
        "anon": s3.anonymous,
        "endpoint_url": endpoint_of(s3),
        "profile": s3.profile,
        "requester_pays": s3.requester_pays,
        "client_kwargs": client,
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }


def gdal_s3_options(s3: S3Settings) -> Mapping[str, str]:
    """The same setting as GDAL's configuration options, which it reads from the environment of every worker."""
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
    """The setting in a few words, for error messages."""
    return ", ".join(f"{name}={value}" for name, value in asdict(s3).items() if value) or "the AWS defaults"
