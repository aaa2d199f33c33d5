"""The AWS credential chain by botocore: environment, profile, web identity, instance."""

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runner.errors import SourceError
from runner.settings import S3Settings

if TYPE_CHECKING:
    from obstore.store import S3Credential

_SENDABLE = re.compile(r"[!-~]([ -~]*[!-~])?")
_SOURCES = "check credential_process, ~/.aws/config and ~/.aws/credentials, and the AWS variables"


@dataclass
class S3Credentials:
    """Keys and region for signing requests."""

    settings: S3Settings

    @cached_property
    def _session(self) -> Any:
        from botocore.exceptions import ProfileNotFound  # noqa: PLC0415 - a quarter of a second that anonymous
        from botocore.session import Session  # noqa: PLC0415 - reading spares

        logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)  # its tracebacks show a helper's output
        session = Session(profile=self.settings.profile)
        try:
            session.get_config_variable("region")
        except ProfileNotFound as error:
            raise SourceError(f"source.s3.profile={self.settings.profile}: {error}; see ~/.aws/config") from error
        return session

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        chosen = self.settings.region or (
            None if self.settings.anonymous else self._session.get_config_variable("region")
        )
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

    def client(self, config: Any, endpoint: str | None, bundle: str | None) -> Any:
        """botocore's client of S3 at an endpoint, which trusts a bundle of authorities; None leaves both to AWS."""
        return self._session.create_client(
            "s3", region_name=self.region, endpoint_url=endpoint, verify=bundle, config=config
        )

    def for_obstore(self) -> "S3Credential":
        """The same, as obstore asks for them every five minutes."""
        keys, soon = self.keys(), datetime.now(UTC) + timedelta(minutes=5)
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": soon,
        }


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
