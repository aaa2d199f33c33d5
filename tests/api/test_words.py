"""Overrides in Python mean what they mean on the command line."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import compose

from runner.api.words import Overrides, words_of
from runner.errors import ConfigError
from runner.settings import JobSettings


def composed(overrides: Overrides, **settings: object) -> JobSettings:
    return compose(*words_of(overrides, settings))


def test_words_stay_as_they_are() -> None:
    assert words_of(["source=local", "source.url=/my data/*.tif"], {}) == ["source=local", "source.url=/my data/*.tif"]


def test_keywords_come_after_the_overrides_and_count_more() -> None:
    assert words_of({"chunks": "block"}, {"chunks": "row"}) == ["chunks=row"]
    assert words_of(["chunks=block"], {"chunks": "row"}) == ["chunks=block", "chunks=row"]


def test_a_dict_is_the_job_that_the_same_words_make() -> None:
    table = {
        "source": "local",
        "source.url": "/my data, all/*.tif",
        "source.limit": np.int64(3),
        "source.nodata": None,
        "source.mask_and_scale": False,
        "source.start": date(2020, 1, 6),
        "source.exclude": ["*_cloudy*", "it's, *"],
        "source.where": {"orbit": ["ASC", "DSC"]},
        "statistics": ["mean", "median"],
    }
    job = composed(table)
    source = job.source
    assert (source.url, source.limit, source.nodata) == ("/my data, all/*.tif", 3, None)
    assert (source.mask_and_scale, source.start) == (False, "2020-01-06")
    assert source.exclude == ["*_cloudy*", "it's, *"]
    assert source.where == {"orbit": ["ASC", "DSC"]}
    assert [stage.statistics for stage in job.stages.values()] == [["mean", "median"]] * 2


def test_several_paths_are_a_list_of_urls(tmp_path: Path) -> None:
    paths = [tmp_path / "a, b/*.tif", tmp_path / "c/*.tif"]
    assert composed({"source": "local", "source.url": paths}).source.urls == (*map(str, paths),)


def test_one_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"source=local: wanted a list of overrides, such as \['source=local'\]"):
        words_of("source=local", {})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (None, r"None: wanted a list of overrides, such as \['source=local'\], got NoneType"),
        (
            [{"source": "local"}],
            "wanted texts in the list of overrides, such as 'source=local', or the dict in place of",
        ),
        ([["source=local"]], "wanted texts in the list of overrides, such as 'source=local'$"),
        ({1: 2}, "1: wanted the key of a setting, such as 'source.url'"),
    ],
)
def test_overrides_of_another_kind_are_refused(overrides: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        words_of(overrides, {})


@pytest.mark.parametrize("keyword", ["progres", "Progress", "verbose", "quiet"])
def test_a_keyword_of_python_that_is_misspelt_is_not_taken_for_a_setting(keyword: str) -> None:
    with pytest.raises(ConfigError, match=f"{keyword}: there is no such setting; did you mean the keyword progress="):
        words_of([], {keyword: False})


def test_a_value_of_another_kind_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigError, match="chunks: wanted a text, a number"):
        words_of({"chunks": object()}, {})
