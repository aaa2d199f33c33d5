"""A band by its number or by its description."""

from pathlib import Path

import pytest
from jobs import found_stack, local_source
from multiband import write_bands

from runner.errors import SourceError
from runner.model import Stack

PLANET = ("blue", "green", "red", "nir")


def stack_of(folder: Path, band: int | str) -> Stack:
    source = local_source(folder, band=band)
    return found_stack(source)


def test_a_band_is_found_by_its_description(tmp_path: Path) -> None:
    for day in (1, 2):
        write_bands(tmp_path / f"2020010{day}.tif", PLANET)
    assert stack_of(tmp_path, "nir").bands == [4]
    assert stack_of(tmp_path, 2).bands == [2]


def test_a_band_may_have_another_number_in_each_scene(tmp_path: Path) -> None:
    write_bands(tmp_path / "20200101.tif", PLANET)
    write_bands(tmp_path / "20200102.tif", ("nir", "blue", "green", "red"))
    stack = stack_of(tmp_path, "nir")
    assert [scene.band for scene in stack.scenes] == stack.bands == [4, 1]


def test_a_file_beside_it_may_describe_a_band(tmp_path: Path) -> None:
    write_bands(tmp_path / "20200101.tif", ("", ""))
    entry = "<PAMDataset><PAMRasterBand band='2'><Description>nir</Description></PAMRasterBand></PAMDataset>"
    (tmp_path / "20200101.tif.aux.xml").write_text(entry)
    stack = stack_of(tmp_path, "nir")
    assert stack.bands == [2]
    assert stack.scenes[0].sidecars_sha256


@pytest.mark.parametrize(
    ("first", "second", "band", "message"),
    [
        (
            PLANET,
            PLANET,
            "NIR",
            "source.band=NIR: .*20200101.tif has 'blue', .*; did you mean 'nir'",
        ),
        (PLANET, PLANET, "al", "source.band=al: .*has 'blue', .*; did you mean source.bands=all$"),
        (("", ""), ("", ""), "al", "give a number, 1 to 2; did you mean source.bands=all$"),
        (PLANET, PLANET, "x", "source.band=x: .*has 'blue', 'green', 'red', 'nir'$"),
        (PLANET, ("blue", "green", "red", "b4"), "nir", "1 of 2 scenes have no such band: .*20200102.tif has 'blue',"),
        (("", ""), ("", ""), "nir", "the bands of .*20200101.tif have no descriptions; give a number, 1 to 2"),
        (("a", "a"), ("a", "a"), "a", "bands 1, 2 of .*20200101.tif have this description; give the number of one"),
        (PLANET, PLANET, 5, "source.band=5: the scenes have 4 bands, such as .*20200101.tif"),
        (PLANET, ("a", "b"), 3, "source.band=3: 1 of 2 scenes have 2 bands, such as .*20200102.tif"),
    ],
)
def test_a_band_that_is_not_in_all_scenes_is_refused(
    tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...], band: int | str, message: str
) -> None:
    write_bands(tmp_path / "20200101.tif", first)
    write_bands(tmp_path / "20200102.tif", second)
    with pytest.raises(SourceError, match=message):
        stack_of(tmp_path, band)
