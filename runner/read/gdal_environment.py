"""GDAL configuration options: checked by name, set for a while in this process, read back.

GDAL looks for an option in its environment when it is set nowhere else, in every thread alike; so options are
environment variables here, set before workers start and inherited by them. GDAL itself is silent about names it does
not know.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from runner.base.suggest import did_you_mean
from runner.errors import ConfigError

_OURS = {
    "AWS_S3_ENDPOINT": "source.s3.endpoint_url",
    "AWS_HTTPS": "source.s3.endpoint_url",
    "AWS_NO_SIGN_REQUEST": "source.s3.anonymous",
    "AWS_PROFILE": "source.s3.profile",
    "AWS_REGION": "source.s3.region",
    "AWS_REQUEST_PAYER": "source.s3.requester_pays",
    "GS_NO_SIGN_REQUEST": "source.gcs.anonymous",
    "CPL_GS_ENDPOINT": "source.gcs.endpoint_url",
    "AZURE_NO_SIGN_REQUEST": "source.azure.anonymous",
    "AZURE_STORAGE_ACCOUNT": "source.azure.account",
    "CPL_AZURE_ENDPOINT": "source.azure.endpoint_url",
    "VSICURL_PC_URL_SIGNING": "source.stac.sign",
}
_CODE = frozenset({"GDAL_DRIVER_PATH", "OGR_DRIVER_PATH", "GDAL_PYTHON_DRIVER_PATH", "GDAL_VRT_ENABLE_PYTHON",
                   "GDAL_VRT_PYTHON_TRUSTED_MODULES", "GDAL_CONFIG_FILE", "AWS_CONFIG_FILE"})  # fmt: skip
# C code then prints or writes requests with their keys, past every log.
_TELLING = frozenset({"CPL_CURL_VERBOSE", "CPL_CURL_VERBOSE_DATA_IN", "CPL_CURL_VSIMEM_PRINT_HEADERS", "CPL_DEBUG",
                      "CPL_LOG", "CPL_LOG_ERRORS", "CPL_VSISTDIN_FILE", "CURL_INFO_DATA_IN", "CURL_INFO_HEADER_IN",
                      "CURL_INFO_HEADER_OUT", "CURL_INFO_TEXT"})  # fmt: skip
# Files or keys of this machine are then sent to a server.
_SENDING = frozenset({"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_STS_ENDPOINT", "AWS_WEB_IDENTITY_TOKEN_FILE",
                      "AZURE_AUTHORITY_HOST", "AZURE_CONFIG_DIR", "AZURE_FEDERATED_TOKEN_FILE",
                      "CPL_AWS_CREDENTIALS_FILE", "CPL_AWS_EC2_API_ROOT_URL", "CPL_AWS_ROOT_DIR",
                      "CPL_AWS_SSO_ENDPOINT", "CPL_AWS_STS_ROOT_URL", "CPL_AZURE_VM_API_ROOT_URL",
                      "CPL_GCE_CREDENTIALS_URL", "CPL_GS_CREDENTIALS_FILE", "GDAL_HTTP_COOKIEFILE",
                      "GDAL_HTTP_COOKIEJAR", "GDAL_HTTP_HEADER_FILE", "GDAL_HTTP_NETRC", "GDAL_HTTP_NETRC_FILE",
                      "GDAL_HTTP_SSLCERT", "GDAL_HTTP_SSLKEY", "GS_OAUTH2_PRIVATE_KEY_FILE",
                      "VSICURL_PC_SAS_SIGN_HREF_URL", "VSICURL_PC_SAS_TOKEN_URL"})  # fmt: skip
_MEANT = "if you mean it, set it in the shell"


@cache
def known_options() -> frozenset[str]:
    """The names of configuration options that GDAL 3.10 knows (the literals its library looks up)."""
    return frozenset(files("runner.read").joinpath("gdal_options.txt").read_text("ascii").split())


def check_option_names(options: Mapping[str, str]) -> None:
    """Refuse unknown names, those that settings of `source` set, and those that run code or give away keys and files.

    A name that only a newer GDAL may know is refused too: options are environment variables, and those of others, such
    as LD_PRELOAD or PYTHONPATH, run code. Raises ConfigError with the remedy.
    """
    for name in options:
        key = f"gdal.options.{name}"
        if name in _OURS:
            raise ConfigError(f"{key}: set {_OURS[name]} instead, which every reader of the bucket follows")
        if name in _CODE:
            raise ConfigError(f"{key}: that can name code to run; {_MEANT}")
        if name in _TELLING:
            raise ConfigError(f"{key}: that can print keys and signatures, or write a file; {_MEANT}")
        if name in _SENDING:
            raise ConfigError(f"{key}: that can send a file or a key of this machine to a server; {_MEANT}")
        if name not in known_options():
            hint = did_you_mean(name, known_options())
            raise ConfigError(
                f"{key}: GDAL 3.10 knows no such option, and an option of a newer GDAL is set in the shell{hint}"
            )


@contextmanager
def gdal_environment(options: Mapping[str, str]) -> Iterator[None]:
    """Set `options` as environment variables, and restore the former ones at the end.

    What is set already stays untouched: other threads may be reading it.
    """
    changed = {name: value for name, value in options.items() if os.environ.get(name) != value}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        restore_environment(before)


def restore_environment(before: Mapping[str, str | None]) -> None:
    """Set variables to what they were, and remove those that were not there (None)."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def gdal_options_set(**options: Any) -> Iterator[None]:
    """Set options as `rasterio.Env` does, for this thread if it is not the main one, and leave nothing behind.

    At its end `rasterio.Env` sets what it found, also what GDAL had found in the environment, which then would hold
    whatever the environment says later.
    """
    import rasterio  # noqa: PLC0415 - GDAL is loaded where it is used, not in every import
    from rasterio._env import del_gdal_config, get_gdal_config  # noqa: PLC0415 - as above

    try:
        with rasterio.Env(**options):
            yield
    finally:
        for name in options:
            if _as_text(get_gdal_config(name, normalize=False)) == os.environ.get(name):
                del_gdal_config(name)


def options_in_force(names: list[str]) -> dict[str, str | None]:
    """The values that GDAL itself uses in this process, by name."""
    from rasterio._env import get_gdal_config  # noqa: PLC0415 - GDAL is loaded where it is used, not in every import

    return {name: _as_text(get_gdal_config(name, normalize=False)) for name in names}


def _as_text(value: object) -> str | None:
    return None if value is None else str(value)
