"""One stack of scenes: where they lie, of which type they are, and what they have in common."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from runner.errors import SourceError, printable
from runner.model import Grid, Scene, Stack
from runner.read.header import NO_TRANSFORM, Header
from runner.reduce.nodata import exact_nodata
from runner.settings import Georeference, SourceSettings, StackGrid
from runner.source.differences import refuse_differences
from runner.source.extent import placed


def make_stack(source: SourceSettings, scenes: Iterable[Scene]) -> Stack:
    """Make a stack of scenes that share a grid or its lattice, dtype and nodata.

    Raises SourceError that counts those of each kind, ConfigError for a setting that fits no pixel.
    """
    scenes = tuple(scenes)
    first, with_place = scenes[0].header, source.georeference is Georeference.file
    _refuse_complex(scenes[0])
    if with_place:
        _refuse_unplaced(scenes)
    nodata_of = source.band if source.nodata is None else None
    refuse_differences(scenes, source.grid if with_place else None, nodata_of=nodata_of)
    grid = grid_of(first) if with_place else Grid(None, "no georeference", NO_TRANSFORM, *first.shape)
    if source.grid is not StackGrid.same or source.bbox is not None:
        grid, scenes = placed(source, grid, scenes)
    return Stack(
        name=source.name,
        grid=grid,
        dtype=np.dtype(first.dtype),
        nodata=resolve_nodata(source.nodata, first.nodata_of(source.band), np.dtype(first.dtype)),
        units=source.units,
        scenes=scenes,
    )


def _refuse_complex(scene: Scene) -> None:
    if scene.header.dtype.startswith("complex"):
        raise SourceError(
            f"{printable(scene.href)}: samples are complex ({scene.header.dtype}), and statistics are of real numbers; "
            "write their magnitude, or real and imaginary parts as bands, to files of their own"
        )


def grid_of(header: Header) -> Grid:
    """The grid a header describes."""
    return Grid(header.crs or None, crs_name(header), header.transform, *header.shape)


def crs_name(header: Header) -> str:
    """The CRS as people call it."""
    if header.epsg:
        return f"EPSG:{header.epsg}"
    named = re.match(r'\w+\["([^"]+)"', header.crs)
    method = re.search(r'(?:PROJECTION|METHOD)\["([^"]+)"', header.crs)
    if named and named[1].lower() not in ("unknown", "unnamed"):
        return named[1]
    return (
        f"{method[1].replace('_', ' ')} without a name"
        if method
        else "a CRS without a name"
        if header.crs
        else "no CRS"
    )


def resolve_nodata(option: float | int | None, header: float | int | None, dtype: np.dtype) -> float | int | None:
    """The setting wins over what the file says; None where neither does. Raises ConfigError for one of no pixel."""
    return exact_nodata(option, dtype) if option is not None else header


def _refuse_unplaced(scenes: Sequence[Scene]) -> None:
    """Raise SourceError for scenes whose place on the ground no transform tells."""
    unplaced = [scene for scene in scenes if not scene.header.placed]
    if unplaced:
        raise SourceError(
            f"{len(unplaced)} of {len(scenes)} scenes have no georeference that is read: "
            f"{printable(unplaced[0].href)} has {_place_of(unplaced[0])}. Warp them onto one grid (gdalwarp), "
            "or say source.georeference=none if the same row and column is the same place in all of them"
        )


def _place_of(scene: Scene) -> str:
    if scene.header.gcps:
        return f"only {scene.header.gcps} ground control points"
    beside = f"only {printable(scene.sidecars[0])}" if scene.sidecars else "no world file that a listing shows"
    return "only RPCs" if scene.header.layout.has_rpcs else f"no transform, and beside it {beside}"
