"""The settings of all stores as GDAL's configuration options, and the paths by which GDAL opens what they hold."""

import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from runner.model import Location
from runner.settings import S3Settings, SourceSettings
from runner.source.planetary_computer import is_signing
from runner.source.stores import azure_account, endpoint_of

UNCACHED: Final = "/vsis3/:/vsigs/:/vsiaz/:/vsicurl/"  # for CPL_VSIL_CURL_NON_CACHED


def gdal_options(source: SourceSettings) -> dict[str, str]:
    """The settings of all stores as GDAL's configuration options, read from the environment of every worker."""
    gcs, azure = source.gcs, source.azure
    google = gcs.endpoint_url or os.environ.get("GOOGLE_BASE_URL")
    blobs = azure.endpoint_url or os.environ.get("AZURE_STORAGE_ENDPOINT")
    options = {
        **gdal_s3_options(source.s3),
        "GS_NO_SIGN_REQUEST": _unsigned("GS_NO_SIGN_REQUEST", gcs.anonymous),
        "CPL_GS_ENDPOINT": google and google.rstrip("/") + "/",
        "AZURE_NO_SIGN_REQUEST": _unsigned("AZURE_NO_SIGN_REQUEST", azure.anonymous),
        "AZURE_STORAGE_ACCOUNT": azure_account(azure),
        "CPL_AZURE_ENDPOINT": blobs and blobs.rstrip("/"),
        "VSICURL_PC_URL_SIGNING": "YES" if is_signing(source) else None,
    }
    return {name: value for name, value in options.items() if value}


def gdal_s3_options(s3: S3Settings) -> Mapping[str, str]:
    """The settings of S3 as GDAL's configuration options."""
    options = {
        "AWS_REGION": s3.region,
        "AWS_PROFILE": s3.profile,
        "AWS_NO_SIGN_REQUEST": _unsigned("AWS_NO_SIGN_REQUEST", s3.anonymous),
    }
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


def _unsigned(option: str, anonymous: bool) -> str | None:
    """What GDAL is told of signatures. Where the environment speaks of them too, the setting is what counts."""
    if anonymous:
        return "YES"
    return "NO" if option in os.environ else None


def gdal_path(location: Location) -> str:
    """The path by which GDAL opens an object; /vsi keeps rasterio from looking for credentials of its own."""
    if location.root is None:
        return location.key
    scheme, _, place = location.root.partition("://")
    prefix = {"s3": "/vsis3", "gs": "/vsigs", "az": "/vsiaz"}.get(scheme)
    return f"{prefix}/{place}/{location.key}" if prefix else f"/vsicurl/{location.url}"
