"""The reader through GDAL: the same windows, of files that the fast reader does not take."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError

from runner.errors import ReadError
from runner.read.header import Header, SceneFile, ScenePart, ScenePixels, Window, same_window
from runner.read.masks import file_masks, read_visible
from runner.read.version import Version

MAX_PIECE_BYTES: Final = 16 * 2**20  # of decoded pixels, unless one tile row has more

_versions: dict[tuple[str, str | None], str] = {}  # of the files that this process has read last

Ranges: TypeAlias = tuple[tuple[int, int], tuple[int, int]]  # rows and columns, each (start, stop)


def read_scenes(
    scenes: Sequence[SceneFile], window: Window, band: int, path_of: Callable[[SceneFile], str]
) -> Generator[ScenePixels, None, None]:
    """Yield the pixels of a window of each scene, as `fast_reader.read_scenes` and by `read_parts`."""
    return (pixels for _, pixels in read_parts(same_window(scenes, window, band), path_of))


def read_parts(
    parts: Iterable[ScenePart], path_of: Callable[[SceneFile], str]
) -> Generator[tuple[int, ScenePixels], None, None]:
    """Yield the pixels of parts of scenes, in pieces of whole tile rows, each with its place among the part's bands.

    The same piece of the next band follows, so that GDAL still has tiles which hold all of them.

    `path_of` gives the path by which GDAL opens a scene. GDAL cannot pin an ETag, so only the shape, bands and dtype
    are compared with those of the header. `valid` is True where the header's mask of the band does not hide a pixel.
    Raises ReadError.
    """
    for part in parts:
        scene = part.file
        path = path_of(scene)
        forget_others(path, str(Version(scene.etag, scene.size, scene.modified)))
        try:
            with open_tiff(path) as dataset:
                for band in part.bands:
                    _check(scene, dataset, part.window, band)
                yield from _read(part, dataset)
        except RasterioError as error:
            bands = f"{'band' if len(part.bands) == 1 else 'bands'} {', '.join(map(str, part.bands))}"
            raise ReadError(scene.href, f"GDAL cannot read {bands} in {part.window}: {cause_of(error)}") from error


def forget_others(path: str, version: str) -> None:
    """Let GDAL drop the bytes that this process has fetched of another version of a file.

    Closing does so if CPL_VSIL_CURL_NON_CACHED names the store; a handle of an earlier job may still be open.
    """
    key = path, os.environ.get("AWS_S3_ENDPOINT")  # the same bucket elsewhere is another file
    if _versions.get(key, version) != version:
        with suppress(RasterioError), rasterio.open(path, driver="GTiff", sharing=False):
            pass
    _versions[key] = version


def cause_of(error: BaseException) -> str:
    """GDAL's reason, which rasterio leaves in the chain of causes of 'Read failed'."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def open_tiff(path: str) -> Any:
    """A dataset of its own. The driver is fixed: a VRT named .tif could read any file of this machine."""
    with np.errstate(over="ignore"):  # rasterio casts the nodata value of half floats, and warns of -3.4e+38
        return rasterio.open(path, driver="GTiff", sharing=False)


def dtype_of(dataset: Any) -> str:
    """The type of a dataset's pixels. GDAL from 3.11 on has float16, which is float32 before, and here."""
    name: str = dataset.dtypes[0]
    return "float32" if name == "float16" else name


def read_pixels(dataset: Any, band: int, window: Ranges) -> npt.NDArray[Any]:
    """The pixels of a window of (rows, columns), in the type that `dtype_of` tells."""
    pixels: npt.NDArray[Any] = dataset.read(band, window=window, out_dtype=dtype_of(dataset))
    return pixels


def _check(scene: SceneFile, dataset: Any, window: Window, band: int) -> None:
    header = scene.header
    actual, listed = (dataset.shape, dataset.count, dtype_of(dataset)), (header.shape, header.bands, header.dtype)
    if actual != listed:
        raise ReadError(
            scene.href, f"changed during the run: shape, bands and dtype are {actual}, were {listed}; run again"
        )
    if not 1 <= band <= header.bands:
        raise ReadError(
            scene.href, f"it has {header.bands} {'band' if header.bands == 1 else 'bands'}, so no band {band}"
        )
    refuse_hidden_mask(scene.href, header, dataset, band)
    if header.dtype.startswith("complex"):
        raise ReadError(scene.href, f"samples are {header.dtype}, wanted real numbers")
    if not window.inside(header.shape):
        raise ReadError(scene.href, f"{window} is not inside its {header.shape[0]} rows and {header.shape[1]} columns")


def refuse_hidden_mask(href: str, header: Header, dataset: Any, band: int) -> None:
    """Raise ReadError for a mask that GDAL finds and the header does not have."""
    mask = file_masks(dataset.mask_flag_enums)[band - 1]
    if header.layout.repaired and mask.before_nodata and not header.mask_of(band).before_nodata:
        problem = f"it has a mask that was not planned for, being a TIFF with {header.layout.repaired}"
        raise ReadError(href, f"{problem}; rewrite it, as with: gdal_translate -of COG in.tif out.tif")


def fill_sparse(pixels: npt.NDArray[Any], header: Header, band: int, window: Ranges) -> None:
    """Fill sparse tiles as the header says: GDAL, which sees no files beside the TIFF, has another nodata."""
    layout = header.layout
    stored = layout.byte_counts[band - 1 if layout.planar == "band" else 0] > 0
    if stored.all():
        return
    sizes = layout.tile_height, layout.tile_width
    down, across = (np.arange(*ends) // size for ends, size in zip(window, sizes, strict=True))
    pixels[~stored[np.ix_(down, across)]] = header.fills[band - 1]


def _read(part: ScenePart, dataset: Any) -> Iterator[tuple[int, ScenePixels]]:
    window, header = part.window, part.file.header
    columns = (window.column, window.column + window.width)
    for rows in _pieces(window, dataset.block_shapes[0][0], np.dtype(dtype_of(dataset)).itemsize):
        for index, band in enumerate(part.bands):
            pixels = read_pixels(dataset, band, (rows, columns))
            fill_sparse(pixels, header, band, (rows, columns))
            valid = read_visible(dataset, header.mask_of(band), band, (rows, columns))
            yield index, ScenePixels(part.scene, part.row + rows[0] - window.row, part.column, pixels, valid)


def _pieces(window: Window, tile_height: int, itemsize: int) -> Iterator[tuple[int, int]]:
    """Rows (start, stop) of the window, cut between tile rows."""
    step = max(1, MAX_PIECE_BYTES // (window.width * itemsize * tile_height)) * tile_height
    bottom = window.row + window.height
    for start in range(window.row - window.row % tile_height, bottom, step):
        yield max(start, window.row), min(start + step, bottom)
