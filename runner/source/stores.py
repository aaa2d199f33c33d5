"""The stores of a source: its settings as obstore takes them."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urljoin, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, S3Store

from runner.base.redact import redact
from runner.errors import SourceError, printable
from runner.model import SIGNED, Location, locate
from runner.read.fetch import FetchCounts, FetchOptions
from runner.read.network import CONNECT_SECONDS, ca_bundle, direct_loopback
from runner.read.services import is_on_the_web
from runner.read.store_errors import reason_of
from runner.settings import AzureSettings, GcsSettings, S3Settings, SourceSettings
from runner.source.planetary_computer import in_container, is_container, is_signing, open_container
from runner.source.s3_credentials import S3Credentials

if TYPE_CHECKING:
    from obstore.store import ClientConfig

Store: TypeAlias = S3Store | GCSStore | AzureStore | HTTPStore | LocalStore

_CLIENT: "ClientConfig" = {"connect_timeout": f"{CONNECT_SECONDS}s", "allow_http": True}
_NO_TIMEOUT = timedelta(days=1)  # obstore has half a minute where none is given


@dataclass(frozen=True, slots=True)
class Clouds:
    """Access to stores that are not S3's; `signed` if Azure's web addresses are signed by the Planetary Computer."""

    gcs: GcsSettings = field(default_factory=GcsSettings)
    azure: AzureSettings = field(default_factory=AzureSettings)
    signed: bool = False


class Stores:
    """The stores of a source, one for each bucket, opened when first asked for; and what asking them has cost so far.

    Picklable: a worker process opens its own. Their clients neither retry nor time out, which is left to `read.fetch`.
    `signatures` are the queries of web addresses that are secrets, by the hrefs that are written down without them.
    """

    def __init__(
        self,
        s3: S3Settings,
        fetch: FetchOptions | None = None,
        clouds: Clouds | None = None,
        signatures: Mapping[str, str] | None = None,
    ) -> None:
        self.s3 = s3
        self.fetch = fetch or FetchOptions()
        self.clouds = clouds or Clouds()
        self.counts = FetchCounts()
        self.documents: dict[str, bytes | None] = {}  # that are read once; None for one that is not there
        self._signatures = dict(signatures or {})
        self._open: dict[tuple[str | None, str], Store] = {}

    def __reduce__(self) -> tuple[type["Stores"], tuple[S3Settings, FetchOptions, Clouds, dict[str, str]]]:
        """Only the settings travel, and signatures, which no worker can find by itself."""
        return type(self), (self.s3, self.fetch, self.clouds, self._signatures)

    def beside(self) -> "Stores":
        """The same stores, for another run of this process: connections and documents are shared, costs are not."""
        other = type(self)(self.s3, self.fetch, self.clouds)
        other._open, other._signatures = self._open, self._signatures  # noqa: SLF001 - of the same class
        other.documents = self.documents
        return other

    @classmethod
    def of_source(cls, source: SourceSettings, fetch: FetchOptions) -> "Stores":
        """The stores that a source leads to."""
        return cls(source.s3, fetch, Clouds(source.gcs, source.azure, is_signing(source)))

    def unsigned(self, href: str) -> str:
        """An href as it is written down: a query that is a secret is kept here, and left out of it.

        A web address is without /./ and /../, as every client requests it.
        Raises SourceError for two such addresses that differ in nothing else.
        """
        if not is_on_the_web(href):
            return href
        _refuse_password(href)
        address, mark, query = href.partition("#")[0].partition("?")
        bare = _without_dots(address)
        if not mark or redact(href) == href:
            return bare + mark + query
        kept = f"{bare}?{SIGNED}"
        if self._signatures.setdefault(kept, query) != query:
            raise SourceError(f"{printable(bare)}: two signed addresses differ in their queries only; wanted one")
        return kept

    def locate(self, href: str) -> Location:
        """Where an object lies for these stores, its signature put back. Raises SourceError where that is not known."""
        location = locate(href)
        if location.query == SIGNED:
            if href not in self._signatures:
                raise SourceError(
                    f"{printable(href)}: its address was signed, and signatures are not kept with a run; let "
                    "source.url list it again, signed anew, or name the object by s3://, gs:// or az://"
                )
            return location._replace(query=self._signatures[href])
        return in_container(location) if self.clouds.signed else location

    def of(self, location: Location) -> Store:
        """The store that holds this object, as `locate` tells it; its path there is `location.key`."""
        place = location.root, location.query
        if place not in self._open:
            self._open[place] = self._opened(location)
        return self._open[place]

    def for_listing(self, location: Location) -> Store:
        """The store, with a client that tries again by itself: nothing else can go on in the middle of a listing."""
        seconds = timedelta(seconds=self.fetch.timeout_seconds)
        retry = {"max_retries": self.fetch.attempts - 1, "retry_timeout": timedelta(seconds=self.listing_seconds)}
        return self._opened(location, seconds, retry_config=retry)

    @property
    def listing_seconds(self) -> float:
        """The longest wait for a page of such a listing, with all attempts."""
        return self.fetch.attempts * (self.fetch.timeout_seconds + self.fetch.max_backoff_seconds)

    def _opened(self, location: Location, timeout: timedelta = _NO_TIMEOUT, **options: Any) -> Store:
        """Open a store. Raises SourceError for credentials or an address that cannot be."""
        if location.root is None:
            return LocalStore()  # without a client, whose certificates take a while to read
        try:
            return self._made(location, {**self._client(timeout), **options})
        except BaseError as error:
            href = f"{location.root}/{location.key}"
            raise SourceError(f"{location.root}: {reason_of(error, href)} (read with {self.describe(href)})") from error

    def _made(self, location: Location, client: dict[str, Any]) -> Store:
        scheme, _, place = (location.root or "").partition("://")
        if scheme == "s3":
            return self.s3_store(place)
        if scheme == "gs":
            return self._gcs_store(place, client)
        if scheme == "az":
            return self._azure_store(place, client)
        if is_container(location):
            return open_container(location, client)
        return _web_store(location, client)

    def s3_store(self, bucket: str) -> S3Store:
        """A store for one bucket."""
        endpoint = endpoint_of(self.s3)
        options: dict[str, Any] = {"endpoint": endpoint, "virtual_hosted_style_request": False} if endpoint else {}
        if self.s3.anonymous:
            options["skip_signature"] = True
        else:
            self.credentials.keys()  # now, since obstore buries what its provider raises
            options["credential_provider"] = self.credentials.for_obstore
        return S3Store(
            bucket,
            region=self.credentials.region,
            request_payer=self.s3.requester_pays,
            **options,
            **self._client(),
        )

    def _gcs_store(self, bucket: str, client: dict[str, Any]) -> GCSStore:
        settings = self.clouds.gcs
        options: dict[str, Any] = {"base_url": settings.endpoint_url} if settings.endpoint_url else {}
        return GCSStore(bucket, skip_signature=settings.anonymous, **options, **client)

    def _azure_store(self, container: str, client: dict[str, Any]) -> AzureStore:
        settings = self.clouds.azure
        options: dict[str, Any] = {"endpoint": settings.endpoint_url} if settings.endpoint_url else {}
        account = azure_account(settings)
        if account is None:
            raise SourceError(
                f"az://{container}: the name of its storage account is not known; set source.azure.account, or "
                "AZURE_STORAGE_ACCOUNT"
            )
        return AzureStore(container, account_name=account, skip_signature=settings.anonymous, **options, **client)

    @staticmethod
    def _client(timeout: timedelta = _NO_TIMEOUT) -> dict[str, Any]:
        """The options of all stores."""
        client: ClientConfig = {**_CLIENT, "timeout": timeout}
        if authorities := _authorities():
            client["root_certificate"] = authorities
        return {"client_options": client, "retry_config": {"max_retries": 0}}

    @cached_property
    def credentials(self) -> S3Credentials:
        """The keys for S3."""
        return S3Credentials(self.s3)

    def describe(self, href: str) -> str:
        """The settings by which an href is read, in short, for messages."""
        if href.startswith("gs://"):
            return _described(self.clouds.gcs) or "the defaults of Google Cloud"
        if href.startswith("az://"):
            return _described(self.clouds.azure) or "the defaults of Azure"
        return _described(self.s3) or "the AWS defaults"


def _web_store(location: Location, client: dict[str, Any]) -> HTTPStore:
    """A web server; one for each query, since obstore has no query in a key. Such clients soon close connections."""
    if not location.query:
        return HTTPStore(f"{location.root}/", **client)
    options = {**client["client_options"], "pool_idle_timeout": "5s"}
    return HTTPStore(f"{location.root}/?{location.query}", **{**client, "client_options": options})


def _refuse_password(address: str) -> None:
    """Raise SourceError for a web address with a user and a password, which would be kept with the results."""
    _, mark, host = address.split("/")[2].rpartition("@")
    if mark:
        raise SourceError(
            f"{printable(host)}: an address with a user and a password; name the object by a signed address, or by "
            "s3://, gs:// or az://"
        )


def _without_dots(address: str) -> str:
    """A web address without /./ and /../."""
    path = urlsplit(address).path
    return urljoin(address, path) if "/." in path and not path.startswith("//") else address


def _described(settings: S3Settings | GcsSettings | AzureSettings) -> str:
    return ", ".join(f"{name}={value}" for name, value in asdict(settings).items() if value)


def azure_account(settings: AzureSettings) -> str | None:
    """The storage account of the setting, else of the environment, as Azure's tools and obstore read it."""
    names = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
    return settings.account or next((os.environ[name] for name in names if os.environ.get(name)), None)


def _authorities() -> bytes | None:
    """The certificates of trusted authorities that the environment names; obstore takes them beside its own."""
    bundle = ca_bundle()
    return Path(bundle).read_bytes() if bundle else None


def network_environment(s3: S3Settings) -> dict[str, str]:
    """Variables by which all clients take the same way: no proxy for this machine, the same trusted authorities."""
    bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    return direct_loopback(endpoint_of(s3)) | ({"GDAL_CURL_CA_BUNDLE": bundle} if bundle else {})


def endpoint_of(s3: S3Settings) -> str | None:
    """The endpoint of the setting, else of the environment, as all AWS clients read it; None for AWS itself."""
    return s3.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
