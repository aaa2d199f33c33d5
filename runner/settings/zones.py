"""The keys of `zones`: the polygons of the stages over zones."""

from dataclasses import dataclass

from runner.settings.choices import ZonePixels


@dataclass(slots=True)
class ZoneSettings:
    """The polygons by which stages over zones part the grid. They may overlap."""

    file: str | None = None
    """GeoJSON, GeoPackage, GeoParquet or Shapefile, on this machine, in a bucket or on the web, each feature of which
    is a zone. A file in another CRS is transformed to that of the scenes."""
    layer: str | None = None
    """Layer of the file, if it has several."""
    id: str | None = None
    """Column, or property, that names a zone. Null numbers them from 0 on, in the order of the file."""
    pixels: ZonePixels = ZonePixels.center
    """Which pixels belong to a zone."""
