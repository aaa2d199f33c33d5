"""A wrong name is told with the nearest that there is."""

import pytest

from runner.base.suggest import did_you_mean, instead_of, nearest

KEYS = ("source", "source.limit", "source.exclude", "chunks", "chunks.y", "chunks.x")


@pytest.mark.parametrize(
    ("got", "near"),
    [("sorce", "source"), ("source.limt", "source.limit"), ("exclude", "source.exclude"), ("zzz", None)],
)
def test_the_nearest_name_is_alike_or_the_only_one_that_ends_so(got: str, near: str | None) -> None:
    assert nearest(got, KEYS) == near


def test_nothing_is_said_where_nothing_is_near() -> None:
    assert did_you_mean("zzz", KEYS) == ""
    assert did_you_mean("sorce", KEYS, "=demo") == "; did you mean 'source=demo'"


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("chunks.yy", "; did you mean 'chunks.y'"),
        ("chunks.exclude", "; did you mean 'source.exclude'"),
        ("chunks.depth", "; chunks has x, y"),
        ("sorce.limit", "; did you mean 'source.limit'"),
    ],
)
def test_a_wrong_key_is_told_with_what_stands_in_its_section(key: str, hint: str) -> None:
    assert instead_of(key, KEYS) == hint
