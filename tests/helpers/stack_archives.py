"""Archives of many small stacks on disk: tiles with grids of their own, bands with types of their own."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.transform import from_origin
from scenes_on_disk import speckle, write_scene

from runner.record.stacks import StackRow, read_stacks

PATTERN = r"S1A_(?P<date>\d{8})_(?P<tile>\w{5})_(?P<orbit>ASC|DSC)_(?P<band>VV|VH)"
BY = "source.stack_by=[tile,band]"
DAYS = ("20200106", "20200112", "20200118")
_SHAPES = ((96, 128), (64, 80), (112, 64))
_ZONES = ("EPSG:32610", "EPSG:32610", "EPSG:32611")


@dataclass(frozen=True)
class Tile:
    """A tile of the archive; its number tells its grid."""

    number: int

    @property
    def name(self) -> str:
        return f"10T{self.number:02}"

    @property
    def shape(self) -> tuple[int, int]:
        return _SHAPES[self.number % 3]

    def path(self, root: Path, band: str, day: str) -> Path:
        orbit = "ASC" if DAYS.index(day) % 2 == 0 else "DSC"
        return root / self.name / f"S1A_{day}_{self.name}_{orbit}_{band}.tif"

    def pixels(self, band: str, day: str) -> npt.NDArray[np.generic]:
        """VV as floats, VH as whole numbers; 0 is missing."""
        seed = self.number * 100 + DAYS.index(day) * 10 + (band == "VH")
        pixels = speckle(self.shape, seed)
        return pixels if band == "VV" else (pixels * 10_000).astype(np.uint16)


def write_archive(root: Path, tiles: int = 3) -> Path:
    """Two bands of each tile, three scenes each."""
    for tile in map(Tile, range(tiles)):
        place = {"crs": _ZONES[tile.number % 3], "transform": from_origin(499980 + 9000 * tile.number, 5300040, 20, 20)}
        for band in ("VV", "VH"):
            for day in DAYS:
                blocks = {"blockxsize": 32, "blockysize": 32}
                write_scene(tile.path(root, band, day), tile.pixels(band, day), **place, **blocks)  # type: ignore[arg-type]
    return root


def source_words(root: Path) -> list[str]:
    """The overrides that name such an archive."""
    return ["source=local", f"source.url={root}/**/*.tif", f"source.datetime_regex={PATTERN}"]


def rows(folder: Path) -> dict[str, StackRow]:
    """The rows of the table of a run, by their stacks."""
    return {row.stack: row for row in read_stacks(folder)}


def statuses(folder: Path) -> dict[str, str]:
    """The status of each stack of a run."""
    return {name: row.status for name, row in rows(folder).items()}


def damage(path: Path) -> bytes:
    """Cut a scene short; what it was."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


def same_results(one: Path, other: Path, names: Iterable[str] = ("spatial_mean.parquet", "temporal_mean.tif")) -> bool:
    """Tell if two run folders hold results of the same bytes."""
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)
