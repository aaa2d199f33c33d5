"""Web addresses in Azure's blob storage that the Planetary Computer signs, by tokens that it gives to everyone."""

from typing import Any, Final

from obstore.store import AzureStore

from runner.errors import SourceError
from runner.model import Location
from runner.settings import Signing, SourceSettings

_HOST: Final = "planetarycomputer.microsoft.com"
_BLOBS: Final = ".blob.core.windows.net"


def is_signing(source: SourceSettings) -> bool:
    """Tell if the addresses of a source are to be signed."""
    if source.stac.sign is Signing.auto:
        return f"//{_HOST}/" in str(source.url)
    return source.stac.sign is Signing.planetary_computer


def in_container(location: Location) -> Location:
    """A place in the blob storage with its container as a part of the root, since tokens are of containers."""
    if not location.root or not location.root.endswith(_BLOBS):
        return location
    container, _, key = location.key.partition("/")
    return Location(f"{location.root}/{container}", key)


def is_container(location: Location) -> bool:
    """Tell if a place is one that `in_container` gives."""
    return "/" in (location.root or "").partition("://")[2]


def open_container(location: Location, client: dict[str, Any]) -> AzureStore:
    """A store that signs each request by a token, which is renewed. Raises SourceError without its packages."""
    try:
        from obstore.auth.planetary_computer import PlanetaryComputerCredentialProvider  # noqa: PLC0415 - rare

        provider = PlanetaryComputerCredentialProvider(location.root)
    except ImportError as error:
        raise SourceError(
            "source.stac.sign: tokens of the Planetary Computer need pip install 'cog-stack-runner[stac]'"
        ) from error
    return AzureStore(credential_provider=provider, **client)
