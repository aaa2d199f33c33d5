"""The keys of `source`: where scenes are, which to take, and how to read their pixels."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from runner.settings.choices import Duplicates, Georeference, Sidecars, Signing, SourceKind, StackGrid
from runner.settings.limits import BAND, BANDS, FRACTION, FROM_1, PERCENT, URLS


@dataclass(slots=True)
class S3Settings:
    """Access to a bucket. Secrets come from the AWS credential chain, never from a setting."""

    endpoint_url: str | None = None
    """Address of an S3-compatible store, such as `https://minio.example.org:9000`. Null is AWS."""
    region: str | None = None
    """Region of the bucket. Null takes the region of the AWS profile."""
    anonymous: bool = False
    """Send requests without a signature, as public buckets allow."""
    profile: str | None = None
    """Profile in the AWS configuration to sign requests with. Null takes the default of the credential chain."""
    requester_pays: bool = False
    """Agree to pay for the requests, as some buckets demand."""


@dataclass(slots=True)
class GcsSettings:
    """Access to a bucket of Google Cloud Storage. Credentials come from Google's chain, such as the file that
    `GOOGLE_APPLICATION_CREDENTIALS` names, never from a setting."""

    endpoint_url: str | None = None
    """Address of a compatible store. Null is Google Cloud, or `GOOGLE_BASE_URL`."""
    anonymous: bool = False
    """Send requests without a token, as public buckets allow."""


@dataclass(slots=True)
class AzureSettings:
    """Access to a container of Azure Blob Storage. Credentials come from `AZURE_STORAGE_SAS_TOKEN`,
    `AZURE_STORAGE_ACCESS_KEY` or Azure's chain, never from a setting."""

    account: str | None = None
    """Name of the storage account. Null takes `AZURE_STORAGE_ACCOUNT`."""
    endpoint_url: str | None = None
    """Address of the account's blobs. Null is `https://ACCOUNT.blob.core.windows.net`, or
    `AZURE_STORAGE_ENDPOINT`."""
    anonymous: bool = False
    """Send requests without a signature, as public containers allow."""


@dataclass(slots=True)
class StacSettings:
    """The items to take of an API, or by `collections`, `ids`, `bbox` and `max_items` of a file or a catalog too."""

    collections: list[str] = field(default_factory=list)
    """Ids of collections. Empty takes all."""
    ids: list[str] = field(default_factory=list)
    """Ids of items. Empty takes all."""
    bbox: list[float] | None = None
    """Box `[west, south, east, north]` in degrees that items must meet."""
    datetime: str | None = None
    """Time or interval of items, such as `2020-01-06` or `2020-01/2020-03`."""
    query: list[str] = field(default_factory=list)
    """Conditions on properties, with `<`, `<=`, `>`, `>=`, `=` or `!=`, such as `eo:cloud_cover<20`. All must hold."""
    max_items: Annotated[int | None, FROM_1] = None
    """Largest number of items, in the order of the API. Null takes all."""
    alternate: str | None = None
    """Name of the address to read assets at, such as `s3`, of those that the alternate-assets extension gives beside
    `href`. Null reads at `href`."""
    login_from: str | None = None
    """Environment variable that holds the login for an API or a catalog of the web: a bearer token, or lines of
    headers, each `NAME: VALUE`. It is sent to the host of `url` alone, and is not recorded."""
    sign: Signing = Signing.auto
    """The signature of web addresses in Azure's blob storage."""


@dataclass(slots=True)
class SourceSettings:
    """The scenes of the stack: where they are, which of them to take and how to read their pixels."""

    name: str = "source"
    """Short name of the data in messages and results: letters, digits, dots and dashes."""
    kind: SourceKind = SourceKind.glob
    """How scenes are found."""
    url: Annotated[Any, URLS] = "???"  # OmegaConf 2.3 cannot merge `str | list[str]`
    """Pattern of the scenes in a folder or a bucket, or the path of a manifest or of STAC items. `**` matches any
    number of folders. A bucket begins with `s3://`, `gs://` or `az://`, one object of a web server with `https://`. A
    list names several of them, whose scenes are taken together."""
    datetime_regex: str | None = None
    """Regular expression that finds the date in a key by named groups: `date`, `datetime`, `doy`, or `year`, `month`
    and `day`. Other named groups become columns of the table, and `scene` names the scene. Only patterns need it."""
    stack_by: list[str] = field(default_factory=list)
    """Named groups, such as `[tile, band]`, that part the scenes into stacks: a stack for each combination of their
    values, each with a grid and a type of its own. Groups are those of `datetime_regex`, the columns of a manifest
    and the properties of STAC items. Without any there is one stack."""
    where: dict[str, Any] = field(default_factory=dict)
    """Scenes to take, by their named groups: a value, a pattern such as `10T*`, or a list of them. `null` takes scenes
    that do not have the group."""
    start: str | None = None
    """First date or time to take, such as `2020-05-01`."""
    end: str | None = None
    """Last date or time to take. A date includes the whole day."""
    exclude: list[str] = field(default_factory=list)
    """Patterns, such as `*_20200612_*`. A scene is left out if its name or its address matches one of them."""
    limit: Annotated[int | None, FROM_1] = None
    """Largest number of scenes, the earliest first. Null takes all."""
    max_cloud: Annotated[float | None, PERCENT] = None
    """Largest cloud cover in percent, as the property `eo:cloud_cover` of STAC items states it, or the column
    `eo:cloud_cover` of a manifest. A scene with more, or without the property, is left out. Null takes all."""
    min_valid_fraction: Annotated[float | None, FRACTION] = None
    """Smallest share of the grid's pixels, or of those in the area, that must be valid in a scene. They are counted
    while all scenes are read. A scene with fewer is left out of all results. It alone is read once more, or all of its
    tasks where values over time are no sums, such as a minimum or a median. Null takes all."""
    duplicates: Duplicates = Duplicates.auto
    """What happens to scenes of the same time."""
    sidecars: Sidecars = Sidecars.read
    """What happens to files beside a TIFF, such as `.aux.xml`."""
    georeference: Georeference = Georeference.file
    """How the pixels of different scenes are matched: by place, or by row and column."""
    grid: StackGrid = StackGrid.same
    """Which pixels the stack has, if the extents of its scenes differ. The scenes must lie on one lattice: they have
    the same CRS and pixel size and are shifted by whole pixels. Pixels are never resampled."""
    bbox: list[float] | None = None
    """Box `[west, south, east, north]` to which the stack is cut, outward to whole pixels. Only tiles that meet it are
    read. Null takes the whole grid."""
    bbox_crs: str | None = "EPSG:4326"
    """CRS of `bbox`. The box is transformed to the CRS of the scenes. Null means that it is in their CRS already."""
    area: str | None = None
    """GeoJSON, GeoPackage, GeoParquet or Shapefile, on this machine, in a bucket or on the web, whose polygons bound
    the stack. The grid is cut to them, and pixels whose centre lies outside of them are missing. Only tiles that meet
    them are read. Null takes the whole grid."""
    area_layer: str | None = None
    """Layer of the file of `area`, if it has several."""
    band: Annotated[int | str, BAND] = 1
    """Band to read: its number, of which the first is 1, or the description that the files give it, such as `nir`,
    which may have another number in each."""
    bands: Annotated[Any, BANDS] = None
    """Bands to read in place of `band`, each into a stack of its own, such as `[red, nir]`, or `all`. Tables of all
    stacks have a column `band`. Tiles that hold several of them are read once."""
    nodata: Any = None  # `runner.config.job_config` reads the number: a float would round 64-bit integers
    """Nodata value, a number or `nan`, in place of the value in the files. Null takes that of the files."""
    scale: float | None = None
    """Scale of the pixels, in place of that of the files: a value is pixel * scale + offset. Null takes that of the
    files, or 1."""
    offset: float | None = None
    """Offset of the pixels, in place of that of the files. Null takes that of the files, or 0."""
    valid_range: list[float] | None = None
    """Lowest and highest valid value, after scale and offset. Pixels outside do not count. Null sets no limits."""
    mask_and_scale: bool = True
    """Apply scale and offset to the pixels."""
    units: str | None = None
    """Unit of the pixels, for the results."""
    s3: S3Settings = field(default_factory=S3Settings)
    """Access to the bucket, for an address that begins with `s3://`."""
    gcs: GcsSettings = field(default_factory=GcsSettings)
    """Access to the bucket, for an address that begins with `gs://`."""
    azure: AzureSettings = field(default_factory=AzureSettings)
    """Access to the container, for an address that begins with `az://`."""
    asset: str | None = None
    """Key of the STAC asset with the pixels, such as `red` or `B04`."""
    stac: StacSettings = field(default_factory=StacSettings)
    """The STAC items to take."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The url, or each of several."""
        return (self.url,) if isinstance(self.url, str) else tuple(self.url)

    @property
    def parted_by(self) -> list[str]:
        """The columns by which the scenes are parted into stacks; none if they are one stack."""
        return [*self.stack_by, *(["band"] if self.bands else [])]

    @property
    def shown_url(self) -> str:
        """The url as a text; several with commas."""
        return ", ".join(self.urls)


def number_or_name(band: int | str) -> int | str:
    """A band of digits alone is a number, wherever it is from; any other text is a description."""
    return int(band) if isinstance(band, str) and re.fullmatch(r"[0-9]{1,9}", band) else band
