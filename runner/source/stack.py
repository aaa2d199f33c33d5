"""One stack of scenes: one grid, dtype and nodata for all."""

import re
from collections.abc import Iterable

import numpy as np

from runner.errors import SourceError
from runner.model import Grid, Scene, Stack
from runner.read.header import Header
from runner.reduce.missing import exact_nodata
from runner.settings import SourceSettings


def make_stack(source: SourceSettings, scenes: Iterable[Scene]) -> Stack:
    """Hold every scene against the first: grid, dtype, nodata.

    Raises SourceError that names the scene and both values, ConfigError for a setting that fits no pixel.
    """
    scenes = tuple(scenes)
    first = scenes[0].header
    for scene in scenes[1:]:
        _compare(scene, scenes[0])
    return Stack(
        name=source.name,
        grid=grid_of(first),
        dtype=np.dtype(first.dtype),
        nodata=resolve_nodata(source.nodata, first.nodata, np.dtype(first.dtype)),
        units=source.units,
        scenes=scenes,
    )


def grid_of(header: Header) -> Grid:
    """The grid a header describes."""
    name = f"EPSG:{header.epsg}" if header.epsg else _crs_name(header.crs)
    return Grid(header.crs or None, name, header.transform, *header.shape)


def _crs_name(wkt: str) -> str:
    named = re.match(r'\w+\["([^"]+)"', wkt)
    return named[1] if named else "no CRS"


def resolve_nodata(option: float | int | None, header: float | int | None, dtype: np.dtype) -> float | int | None:
    """The setting wins over the file's own tag; None where neither says. Raises ConfigError for one of no pixel."""
    return exact_nodata(option, dtype) if option is not None else header


def _compare(scene: Scene, first: Scene) -> None:
    got, wanted = scene.header, first.header
    table = [
        ("CRS", grid_of(got).crs_name, grid_of(wanted).crs_name, got.crs == wanted.crs),
        ("transform", got.transform, wanted.transform, got.transform == wanted.transform),
        ("shape", got.shape, wanted.shape, got.shape == wanted.shape),
        ("dtype", got.dtype, wanted.dtype, got.dtype == wanted.dtype),
        ("nodata", got.nodata, wanted.nodata, _same_nodata(got.nodata, wanted.nodata)),
        ("bands", got.bands, wanted.bands, got.bands == wanted.bands),
    ]
    for what, value, expected, same in table:
        if not same:
            raise SourceError(
                f"{scene.href} has {what} {value}, the stack has {expected} (from {first.href}); "
                f"leave it out with source.exclude=['*{scene.name}*']"
            )


def _same_nodata(one: float | None, other: float | None) -> bool:
    return one == other or (one != one and other != other)  # NaN is the same nodata as NaN  # noqa: PLR0124
