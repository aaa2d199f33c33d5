"""The keys of `gdal`, `fetch` and `decode`: how bytes come and become pixels."""

from dataclasses import dataclass, field
from typing import Annotated

from runner.settings.choices import Inflate, Verify
from runner.settings.limits import FROM_1, SECONDS


@dataclass(slots=True)
class GdalSettings:
    """Configuration options of GDAL."""

    options: dict[str, str] = field(default_factory=dict)
    """Options by name, such as `GDAL_CACHEMAX: '256'`. A name that GDAL does not know is refused."""


@dataclass(slots=True)
class FetchSettings:
    """Requests for byte ranges. The limits on requests and bytes hold for each thread."""

    in_flight: Annotated[int, FROM_1] = 16
    """Largest number of ranges that a thread requests ahead of their use."""
    ahead: str = "64MiB"
    """Largest number of bytes that a thread requests ahead of their use, such as `64MiB`."""
    attempts: Annotated[int, FROM_1] = 10
    """Largest number of attempts at a request. The run fails after the last one."""
    timeout: Annotated[float, SECONDS] = 60.0
    """Largest number of seconds that one attempt may take."""
    verify: Verify = Verify.none
    """Check objects against their checksums, which reads every byte twice."""


@dataclass(slots=True)
class DecodeSettings:
    """Decompression of tiles."""

    inflate: Inflate = Inflate.auto
    """How DEFLATE tiles are inflated."""
