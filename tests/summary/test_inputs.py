"""What people are told of a run's inputs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobs import local_source
from masked_scenes import MaskPlace, mask_settings, masked_stack, write_mask, write_pair
from scenes_on_disk import speckle

from runner.errors import printable
from runner.model import Inputs
from runner.read.header import Window
from runner.settings import OnError, S3Settings, SourceSettings
from runner.source.scenes import find_inputs
from runner.source.stores import Stores
from runner.summary import describe_inputs, describe_keys


def find(folder: Path, **changes: object) -> Inputs:
    return find_inputs(local_source(folder, **changes), Stores(S3Settings()), OnError.stop, lambda done, total: None)


def describe(inputs: Inputs, *, mask_and_scale: bool = True) -> str:
    return describe_inputs(inputs, SourceSettings(mask_and_scale=mask_and_scale))


def test_the_first_date_is_shown_with_the_name_it_was_read_from(folder_of_scenes: Path) -> None:
    assert describe(find(folder_of_scenes)).startswith(
        "local: 4 scenes from 2020-01-06 (data/S1A_20200106_ASC.tif) to 2020-01-24, 500 x 300 pixels"
    )


def test_what_the_limit_cuts_is_not_told_as_left_out(folder_of_scenes: Path) -> None:
    said = describe(find(folder_of_scenes, limit=2, exclude=["*_20200106_*"]))
    assert said.startswith(
        "local: the first 2 of 3 scenes from 2020-01-12 (data/S1A_20200112_ASC.tif) to 2020-01-18, 1 left out"
    )


def test_files_beside_the_scenes_that_were_used_are_told(folder_of_scenes: Path) -> None:
    inputs = find(folder_of_scenes)
    first, second, *others = inputs.stack.scenes
    scenes = (
        replace(first, sidecars=("s3://b/data/a.tfw",)),
        replace(second, sidecars=("s3://b/data/b.tif.aux.xml", "s3://b/data/b.wld")),
        *others,
    )
    said = describe(replace(inputs, stack=replace(inputs.stack, scenes=scenes)))
    assert "placed by" not in describe(inputs)
    assert said.endswith(
        "in files, 2 placed by a world file (data/a.tfw), 1 completed by a .aux.xml (data/b.tif.aux.xml)"
    )


def test_a_plan_says_how_the_first_and_the_last_key_were_read(folder_of_scenes: Path) -> None:
    regex = r"(?P<satellite>S1[AB])_(?P<date>\d{8})_(?P<orbit>ASC|DSC)"
    assert describe_keys(find(folder_of_scenes, datetime_regex=regex).stack) == [
        f"{end} key: {folder_of_scenes}/S1A_202001{day}_ASC.tif is scene S1A_202001{day}_ASC, 2020-01-{day} 00:00:00, "
        "satellite S1A, orbit ASC"
        for end, day in (("first", "06"), ("last", "24"))
    ]


def test_names_that_a_terminal_would_obey_are_escaped(folder_of_scenes: Path) -> None:
    inputs = find(folder_of_scenes)
    odd = replace(inputs.stack.scenes[0], href="/data/\x1b[31mred\n\u202e.tif", name="a\tb")
    said = describe_keys(replace(inputs.stack, scenes=(odd,)))[0]
    assert said.startswith(r"first key: /data/\x1b[31mred\n\u202e.tif is scene a\tb, ")
    assert printable("M\udcfcller, Müller, \u2028") == r"M\xfcller, Müller, \u2028"


@pytest.mark.parametrize(
    ("scale", "mask_and_scale", "text"),
    [(1.0, True, ", no scale, "), (0.01, True, ", scaled, "), (0.01, False, ", scale not applied, ")],
)
def test_it_is_told_if_no_file_has_a_scale(
    folder_of_scenes: Path, scale: float, mask_and_scale: bool, text: str
) -> None:
    inputs = find(folder_of_scenes)
    scenes = tuple(replace(one, header=replace(one.header, scales=(scale,))) for one in inputs.stack.scenes)
    stack = replace(inputs.stack, scenes=scenes)
    assert text in describe(replace(inputs, stack=stack), mask_and_scale=mask_and_scale)


def test_one_scene_without_nodata_is_told_in_words(folder_of_scenes: Path) -> None:
    inputs = find(folder_of_scenes, limit=1, exclude=["*_202001[12]*"])
    said = describe(replace(inputs, stack=replace(inputs.stack, nodata=None)))
    assert said.startswith("local: 1 scene from 2020-01-06 ")
    assert ", no nodata, " in said


def test_the_masks_are_told_with_an_example_and_how_coarse_they_are(tmp_path: Path) -> None:
    scene = Window(0, 0, 20, 30)
    write_pair(tmp_path, 1, scene, speckle(scene[2:]))
    write_mask(tmp_path, 1, scene, np.zeros((10, 15), np.uint8), MaskPlace(2))
    source, mask = local_source(tmp_path, url=f"{tmp_path}/*_B.tif"), mask_settings(values=[3, 8], band=1)
    stack = masked_stack(source, mask)
    stored = stack.masks[0].size
    text = f"; values 3, 8 of masks ({tmp_path.name}/20200101_QA.tif, 2 times coarser) hidden, {stored} B in files"
    assert describe_inputs(Inputs(stack, ()), source, mask).endswith(text)
