"""One stack of scenes: where they lie, of which type they are, and what they have in common."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from runner.errors import SourceError, printable
from runner.model import Grid, Inputs, LeftOut, Scene, Stack, StoredObject
from runner.read.header import NO_TRANSFORM, Header
from runner.reduce.nodata import exact_nodata
from runner.settings import Georeference, SourceSettings, StackGrid
from runner.source.bands import with_bands
from runner.source.differences import refuse_differences
from runner.source.extent import placed
from runner.source.stores import Stores


def make_stack(source: SourceSettings, scenes: Iterable[Scene], stores: Stores | None = None) -> Stack:
    """Make a stack of scenes that share a grid or its lattice, dtype and nodata; `stores` may have its area's file.

    Raises SourceError that counts those of each kind, ConfigError for a setting that fits no pixel.
    """
    scenes = tuple(scenes)
    first, with_place = scenes[0].header, source.georeference is Georeference.file
    _refuse_complex(scenes[0])
    if with_place:
        _refuse_unplaced(scenes)
    scenes = with_bands(source.band, scenes)
    refuse_differences(scenes, source.grid if with_place else None, nodata=source.nodata is None)
    grid, area = grid_of(first) if with_place else Grid(None, "no georeference", NO_TRANSFORM, *first.shape), None
    if source.grid is not StackGrid.same or source.bbox is not None or source.area is not None:
        grid, scenes, area = placed(source, grid, scenes, stores)
    return Stack(
        name=source.name,
        grid=grid,
        dtype=np.dtype(first.dtype),
        nodata=resolve_nodata(source.nodata, first.nodata_of(scenes[0].band), np.dtype(first.dtype)),
        units=source.units,
        scenes=tuple(_scaled(source, scene) for scene in scenes),
        scale=source.scale,
        offset=source.offset,
        area=area,
    )


def without_scenes(
    source: SourceSettings, inputs: Inputs, reasons: Mapping[int, str], stores: Stores, *, skipped: bool = False
) -> Inputs:
    """The inputs without the scenes of these numbers, each with the reason why; some must be left."""
    scenes = inputs.stack.scenes
    items = [
        LeftOut(
            StoredObject(scene.href, scene.size, scene.etag, scene.modified), scene.name, scene.time, reason, skipped
        )
        for scene, reason in ((scenes[number], reason) for number, reason in reasons.items())
    ]
    kept = [scene for number, scene in enumerate(scenes) if number not in reasons]
    return replace(inputs, stack=make_stack(source, kept, stores), left_out=(*inputs.left_out, *items))


def _scaled(source: SourceSettings, scene: Scene) -> Scene:
    """The scene with the scale and offset of the settings in its header, in place of those of its file."""
    if source.scale is None and source.offset is None:
        return scene
    scale, offset = _scale_of(scene)
    own = scale if source.scale is None else source.scale, offset if source.offset is None else source.offset
    return replace(scene, header=scene.header.with_scale(*own))


def describe_scale(source: SourceSettings, scenes: Sequence[Scene]) -> list[str]:
    """A line on scenes whose files have another scale or offset than the settings; none if all agree."""
    other = [scene for scene in scenes if _scale_of(_scaled(source, scene)) != _scale_of(scene)]
    other = [scene for scene in other if _scale_of(scene) != (1, 0)]
    if not other:
        return []
    (scale, offset), own = _scale_of(other[0]), _scale_of(_scaled(source, other[0]))
    return [
        f"source.scale, source.offset: pixels are scaled by {own[0]:g} and {own[1]:g}, although the files of "
        f"{len(other)} of {len(scenes)} scenes say {scale:g} and {offset:g}, such as {printable(other[0].name)}"
    ]


def _scale_of(scene: Scene) -> tuple[float, float]:
    return scene.header.scale_of(scene.band)


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
