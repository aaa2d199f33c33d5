"""Scenes are left out by the cloud cover that is stated of them."""

from datetime import UTC, datetime

import pytest

from runner.errors import SourceError
from runner.model import StoredObject
from runner.settings import SourceSettings
from runner.source.clouds import keep_clear
from runner.source.names import Candidate


def candidate(cover: str | None, name: str = "eo_cloud_cover") -> Candidate:
    groups = {} if cover is None else {name: cover}
    return Candidate(StoredObject(f"/data/{cover}.tif"), f"cover {cover}", datetime(2020, 1, 1, tzinfo=UTC), groups)


def kept(most: float | None, *scenes: Candidate) -> tuple[list[str], list[str]]:
    source = SourceSettings(name="lake", url="items.json", max_cloud=most)
    clear, left_out = keep_clear(source, scenes)
    return [scene.scene for scene in clear], [item.reason for item in left_out]


@pytest.mark.parametrize("name", ["eo_cloud_cover", "eo:cloud_cover"])
def test_scenes_with_more_clouds_are_left_out_with_the_reason(name: str) -> None:
    clear, reasons = kept(20, candidate("20.0", name), candidate("20.5", name), candidate("0", name))
    assert clear == ["cover 20.0", "cover 0"]
    assert reasons == ["source.max_cloud=20: eo:cloud_cover is 20.5"]


def test_a_scene_of_which_it_is_not_stated_is_left_out() -> None:
    assert kept(20, candidate("3"), candidate(None)) == (["cover 3"], ["source.max_cloud=20: no eo:cloud_cover"])


def test_without_the_setting_all_are_taken() -> None:
    assert kept(None, candidate("99"), candidate(None)) == (["cover 99", "cover None"], [])


@pytest.mark.parametrize(
    ("scenes", "said"),
    [
        ([candidate(None)], r"source.max_cloud=20: no scene has eo:cloud_cover, which STAC items state"),
        ([candidate("much")], r"/data/much.tif: eo:cloud_cover is much, wanted percent"),
        ([candidate("nan")], r"/data/nan.tif: eo:cloud_cover is nan, wanted percent"),
    ],
)
def test_a_cover_that_cannot_be_compared_is_an_error(scenes: list[Candidate], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        kept(20, *scenes)
