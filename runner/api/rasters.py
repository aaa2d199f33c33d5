"""The rasters of a run as lazy arrays; those of the groups of a statistic are one array, along its groups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runner.output.names import raster_name
from runner.record.run_files import OutputFile

if TYPE_CHECKING:
    import xarray as xr

_TAKEN: Final = ("y", "x", "band")  # by dimensions of every raster


class _Band(NamedTuple):
    """A band of a file, with what it is of."""

    stage: str
    statistic: str
    group: str
    values: "xr.DataArray"


def rasters_of(
    files: Sequence[OutputFile], stages: Mapping[str, Any], opened: Callable[[str], "list[xr.DataArray]"]
) -> "xr.Dataset":
    """A variable for each statistic, (y, x), or for the groups of one, (groups, y, x); `opened` gives a file's bands.

    `stages` are those of the run's config. The dimension of groups is called as they are made, such as `year_month` or
    `orbit_year`; its labels are those in the names of files.
    """
    import xarray as xr  # noqa: PLC0415 - seconds, which a run without rasters spares

    arrays: dict[str, xr.DataArray] = {}
    for (stage, statistic), of_one in groupby(_bands(files, opened), lambda band: band[:2]):
        bands = list(of_one)
        arrays[Path(raster_name(stage, statistic)).stem] = (
            _along_groups(bands, _dimension(stages[stage])) if bands[0].group else bands[0].values
        )
    return xr.Dataset(arrays)


def _bands(files: Sequence[OutputFile], opened: Callable[[str], "list[xr.DataArray]"]) -> Iterator[_Band]:
    for file in files:
        if file.name.endswith(".tif"):
            for value, band in zip(file.values, opened(file.name), strict=True):
                yield _Band(file.stage, value.name, value.group or "", band)


def _along_groups(bands: Sequence[_Band], dimension: str) -> "xr.DataArray":
    """One array of all groups. Of the attributes those stay that all of them share."""
    import xarray as xr  # noqa: PLC0415 - as above

    labels = xr.DataArray([band.group for band in bands], dims=dimension, name=dimension)
    return xr.concat(
        [band.values for band in bands],
        labels,
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="drop_conflicts",
    )


def _dimension(stage: Mapping[str, Any]) -> str:
    by = stage["group_by"]
    name = by if isinstance(by, str) else "_".join(by)
    return f"{name}_" if name in _TAKEN else name


def open_bands(path: Path) -> "list[xr.DataArray]":
    """The bands of a raster, (y, x), lazy, NaN where missing."""
    import rasterio  # noqa: PLC0415 - as above
    import rioxarray  # noqa: PLC0415 - as above
    import xarray as xr  # noqa: PLC0415 - as above

    with rasterio.open(path) as dataset:
        masked = dataset.dtypes[0].startswith("float")  # counts are never missing, and stay whole numbers
        tags = [dataset.tags(number) for number in dataset.indexes]
    raster: Any = rioxarray.open_rasterio(path, masked=masked, chunks={"band": 1, "x": "auto", "y": "auto"})
    assert isinstance(raster, xr.DataArray)
    bands = [raster.isel(band=number, drop=True) for number in range(len(tags))]
    for number, band in enumerate(bands):  # rioxarray has a tuple where they differ, and the tags of the first
        own = {name: value[number] if isinstance(value, tuple) else value for name, value in raster.attrs.items()}
        band.attrs = {**own, **{name: tags[number][name] for name in own if name in tags[number]}}
    return bands
