"""Overrides of a sweep as users type them, and the limits of its settings."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from runner.config.overrides import as_hydra_reads
from runner.errors import ConfigError
from runner.settings import SweepSettings
from runner.sweep.compose import check_settings, refuse_stacks


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("sweep.baseline=chunks=row", ["chunks=row"]),
        ("sweep.baseline=[chunks=row]", ["chunks=row"]),
        ("sweep.baseline=chunks=row,engine=xarray", ["chunks=row", "engine=xarray"]),
        ("sweep.baseline=['chunks=row', \"mask=none\"]", ["chunks=row", "mask=none"]),
        ("sweep.baseline=stages.a.statistics=[mean,q05],~stage@stages.b", ["stages.a.statistics=[mean,q05]",
                                                                            "~stage@stages.b"]),
        ("+sweep.baseline=source.url='a,b'", ["source.url='a,b'"]),
        (r"sweep.baseline=source.datetime_regex=(?P<date>\d{8})\\", [r"source.datetime_regex=(?P<date>\d{8})\\"]),
        ("sweep.baseline=[]", []),
        ("sweep.baseline=null", None),
        ("sweep.objective=peak", ["peak"]),
        ("sweep.objective=[wall,peak]", ["wall", "peak"]),
        ("sweep.objective=wall,peak", ["wall", "peak"]),
    ],
)  # fmt: skip
def test_a_list_of_the_sweep_needs_neither_brackets_nor_quotes(typed: str, values: list[str] | None) -> None:
    (read,) = as_hydra_reads([typed])
    assert OverridesParser.create().parse_override(read).value() == values
    assert as_hydra_reads([read]) == [read]


def test_other_overrides_stay_as_they_are() -> None:
    overrides = ["-m", "chunks=row,block", "sweep.timeout=3", "--config-dir", "sweep.baseline", "~sweep.baseline"]
    assert as_hydra_reads(overrides, multirun=True) == overrides


@pytest.mark.parametrize("key", ["timeout", "prune", "repeats", "n_jobs", "trials", "keep"])
def test_nothing_is_no_limit(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"sweep\.{key}=0: wanted .* (above 0|from 1)"):
        check_settings(SweepSettings(**{key: 0}))


def parsed(*overrides: str) -> list[Override]:
    return OverridesParser.create().parse_overrides(as_hydra_reads([*overrides], multirun=True))


@pytest.mark.parametrize(
    "override",
    ["source.url=a/*.tif,b/*.tif", "source.band=1,2", "source.bands=red,nir", "source.where.tile=A,B",
     "source.where.tile=glob(*)"],
)  # fmt: skip
def test_values_that_are_stacks_of_one_archive_are_no_sweep(override: str) -> None:
    with pytest.raises(ConfigError, match=r"source\.\S+: these are stacks of one archive, .* source\.stack_by"):
        refuse_stacks(parsed("chunks=row,block", override))


@pytest.mark.parametrize(
    "override",
    ["source=local,demo", "source.asset=red,nir", "source.start=2019,2020", "source.stack_by=[orbit],[tile]",
     "source.nodata=0,1", "source.stac.collections=[a],[b]"],
)  # fmt: skip
def test_other_scenes_or_values_are_no_sweep(override: str) -> None:
    with pytest.raises(ConfigError, match=r"compares ways to compute the same values, .* source\.stack_by parts"):
        refuse_stacks(parsed(override))


def test_ways_to_read_the_same_scenes_and_the_number_of_scenes_are_a_sweep() -> None:
    refuse_stacks(
        parsed("source=local", "source.limit=10,100", "source.s3.addressing=path,virtual", "chunks=row,block")
    )
