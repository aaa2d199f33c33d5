"""Scenes chosen by their groups, and parted into stacks."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import local_source

from runner.errors import ConfigError, SourceError
from runner.model import StoredObject
from runner.settings import S3Settings, SourceSettings
from runner.source.names import Candidate
from runner.source.parts import keep_where, part, unmatched_where
from runner.source.scenes import list_archive
from runner.source.stores import Stores


def source(**changes: Any) -> SourceSettings:
    return local_source(Path("/data"), **changes)


def scene(number: int, **groups: str) -> Candidate:
    return Candidate(StoredObject(f"/data/{number}.tif", 10), f"{number}", datetime(2020, 1, 1, tzinfo=UTC), groups)


SCENES = [
    scene(1, tile="10TET", band="VV", orbit="007"),
    scene(2, tile="10TET", band="VH", orbit="007"),
    scene(3, tile="10TFT", band="VV", orbit="12"),
    scene(4, tile="10TFT", band="VV", orbit="12"),
    scene(5, tile="11SKA"),
]


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({}, "12345"),
        ({"tile": "10TET"}, "12"),
        ({"tile": "10T*"}, "1234"),
        ({"tile": ["10TET", "11*"]}, "125"),
        ({"tile": "10T*", "band": "VV"}, "134"),
        ({"band": None}, "5"),
        ({"band": ["VH", None]}, "25"),
        ({"orbit": "007"}, "12"),
        ({"orbit": 12}, "34"),
        ({"tile": "10tet*", "band": "V?"}, None),
    ],
)
def test_scenes_are_taken_by_values_and_patterns_of_their_groups(where: dict[str, Any], kept: str | None) -> None:
    if kept is None:
        with pytest.raises(SourceError, match="none of 5 scenes: .* 'tile' is 10TET, 10TFT, 11SKA"):
            keep_where(source(where=where), SCENES)
        return
    chosen, left_out = keep_where(source(where=where), SCENES)
    assert "".join(one.scene for one in chosen) == kept
    assert {one.scene for one in chosen} | {str(one.scene) for one in left_out} == {one.scene for one in SCENES}


def test_what_is_left_out_keeps_the_condition_that_it_does_not_meet() -> None:
    _, left_out = keep_where(source(where={"tile": "10T*", "band": "VV"}), SCENES)
    assert {one.scene: one.reason for one in left_out} == {
        "2": "source.where.band does not match VH",
        "5": "source.where.tile does not match 11SKA",
    }


def test_a_wanted_value_that_no_scene_has_is_named() -> None:
    lines = unmatched_where(source(where={"tile": ["10TET", "10TXX", None], "band": "V?"}), SCENES)
    assert lines == ["source.where.tile: no scene matches [10TXX,null]; there are 10TET, 10TFT, 11SKA"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"where": {"tyle": "x"}},
            "source.where.tyle: no scene has the group 'tyle'; there are band, orbit, tile; did ",
        ),
        (
            {"where": {"month": "x"}},
            r"there are band, orbit, tile; name it in source.datetime_regex, as by \(\?P<month>",
        ),
        ({"stack_by": ["tyle"]}, "source.stack_by: no scene has the group 'tyle'; .* did you mean 'tile'"),
    ],
)
def test_an_unknown_group_is_refused_with_those_that_there_are(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        part(source(**changes), keep_where(source(**changes), SCENES)[0])


def test_each_combination_of_values_is_a_stack_named_by_them() -> None:
    stacks = part(source(stack_by=["tile", "band"]), SCENES)
    assert {stack.name: "".join(one.scene for one in stack.candidates) for stack in stacks} == {
        "10TET_VH": "2",
        "10TET_VV": "1",
        "10TFT_VV": "34",
        "11SKA_none": "5",
    }
    assert [stack.values for stack in stacks][-1] == {"tile": "11SKA", "band": None}


VALUES = st.lists(st.text(st.characters(codec="utf-8"), max_size=90), min_size=1, max_size=12, unique=True)


@given(VALUES)
def test_names_are_unlike_and_safe_and_each_stack_is_found_again_by_its_condition(values: list[str]) -> None:
    scenes = [scene(number, tile=value) for number, value in enumerate(values)]
    stacks = part(source(stack_by=["tile"]), scenes)
    assert len({stack.name.casefold() for stack in stacks}) == len(values)
    for stack in stacks:
        assert stack.name == Path(stack.name).name
        assert stack.name not in (".", "..")
        assert not stack.name.startswith(".")
        assert len(stack.name.encode()) < 120
        assert tuple(keep_where(source(where=stack.where), scenes)[0]) == stack.candidates


def test_several_urls_are_listed_together_and_each_object_once(folder_of_scenes: Path) -> None:
    urls = [f"{folder_of_scenes}/*_202001{days}_*.tif" for days in ("0?", "[01]?", "2?")]
    archive = list_archive(local_source(folder_of_scenes, url=urls), Stores(S3Settings()))
    assert [one.scene for one in archive.scenes] == [f"S1A_202001{day}_ASC" for day in ("06", "12", "18", "24")]


def test_a_url_that_matches_nothing_is_named_among_several(folder_of_scenes: Path) -> None:
    urls = [f"{folder_of_scenes}/*.tif", f"{folder_of_scenes}/*.tiff"]
    with pytest.raises(SourceError, match=r"source.url=\S+\.tiff: nothing matches"):
        list_archive(local_source(folder_of_scenes, url=urls), Stores(S3Settings()))
