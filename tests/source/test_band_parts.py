"""A stack for each band of the files."""

import re
from pathlib import Path

import pytest
from jobs import compose
from multiband import write_bands

from runner.errors import SourceError
from runner.settings import S3Settings
from runner.source.band_parts import by_band
from runner.source.parts import Part, part
from runner.source.scenes import list_archive
from runner.source.stores import Stores


def parts_of(folder: Path, *words: str) -> list[Part]:
    """The stacks that a job makes of a folder of scenes."""
    pattern = r"""source.datetime_regex='(?P<tile>\w+)_(?P<date>\d{8})'"""
    source = compose("source=local", f"source.url={folder}/*.tif", pattern, *words).source
    stores = Stores(S3Settings())
    return by_band(source, part(source, list_archive(source, stores).scenes), stores)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for tile, names in (("a", ("red", "nir")), ("b", ("nir", "red"))):
        for day in (1, 2):
            write_bands(tmp_path / f"{tile}_2020010{day}.tif", names)
    return tmp_path


def test_every_stack_is_parted_by_bands_in_their_order(folder: Path) -> None:
    parts = parts_of(folder, "source.stack_by=[tile]", "source.bands=[nir,1]")
    assert [part.name for part in parts] == ["a_nir", "a_1", "b_nir", "b_1"]
    assert [part.values for part in parts[:2]] == [{"tile": "a", "band": "nir"}, {"tile": "a", "band": "1"}]
    assert [part.band for part in parts[:2]] == ["nir", 1]
    assert parts[0].where == {"tile": "a"}
    assert all(len(part.candidates) == 2 for part in parts)


def test_all_bands_go_by_their_descriptions_in_each_stack(folder: Path) -> None:
    parts = parts_of(folder, "source.stack_by=[tile]", "source.bands=all")
    assert [part.name for part in parts] == ["a_red", "a_nir", "b_nir", "b_red"]


@pytest.mark.parametrize("names", [("", ""), ("a", "a"), ("all", "b"), ("a", ""), ("2", "1")])
def test_all_bands_go_by_their_numbers_if_descriptions_do_not_tell_them_apart(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    write_bands(tmp_path / "a_20200101.tif", names)
    parts = parts_of(tmp_path, "source.bands=all")
    assert [(part.name, part.band) for part in parts] == [("1", 1), ("2", 2)]
    assert parts[0].where == {}


def test_a_first_scene_without_a_header_is_named(tmp_path: Path) -> None:
    (tmp_path / "a_20200101.tif").write_bytes(b"II*\0")
    with pytest.raises(SourceError, match="a_20200101.tif"):
        parts_of(tmp_path, "source.bands=all")


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ("[red,nri]", r"source.bands=\[red,nri\]: band nri: .*a_20200101.tif has 'red', 'nir'; did you mean 'nir'$"),
        ("[1,3]", r"source.bands=\[1,3\]: band 3: the scenes have 2 bands, such as .*a_20200101.tif$"),
    ],
)
def test_a_band_that_no_stack_has_is_refused(folder: Path, bands: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parts_of(folder, "source.stack_by=[tile]", f"source.bands={bands}")


@pytest.mark.parametrize(("bands", "names"), [("[1,red]", "1 and red"), ("[nir,red,2]", "nir and 2")])
def test_a_band_with_two_names_is_refused_which_would_make_two_stacks(folder: Path, bands: str, names: str) -> None:
    with pytest.raises(SourceError, match=rf"{re.escape(bands)}: {names} are the same band of .*a_20200101.tif; name"):
        parts_of(folder, "source.stack_by=[tile]", f"source.bands={bands}")


def test_a_band_that_the_first_stack_lacks_is_that_of_others(folder: Path) -> None:
    write_bands(folder / "c_20200101.tif", ("swir", "nir", "red"))
    parts = parts_of(folder, "source.stack_by=[tile]", "source.bands=[swir,3]")
    assert [part.name for part in parts] == ["a_swir", "a_3", "b_swir", "b_3", "c_swir", "c_3"]


def test_bands_of_scenes_that_cannot_be_read_are_left_to_their_stacks(folder: Path) -> None:
    for day in (1, 2):
        (folder / f"a_2020010{day}.tif").write_bytes(b"II*\0")
    assert len(parts_of(folder, "source.stack_by=[tile]", "source.bands=[red]")) == 2
    with pytest.raises(SourceError, match="b_20200101.tif has 'nir', 'red'; did you mean 'red'"):
        parts_of(folder, "source.stack_by=[tile]", "source.bands=[rde]")
