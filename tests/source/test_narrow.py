"""A glob that matches several scenes of one time is answered with one that matches a single scene of each."""

from datetime import UTC, datetime, timedelta

import pytest

from runner.source.narrow import differing_parts, narrower_url


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        (["a/x_SR_B2.TIF", "a/x_SR_B3.TIF"], ["B2", "B3"]),
        (["d/20200106_a.tif", "e/20200106_a.tif"], ["d", "e"]),
        (["x_B02.tif", "x_B03.tif", "x_B12.tif"], ["B02", "B03", "B12"]),
        (["x_S1A_1.tif", "x_S1A.tif"], ["", "_1"]),
    ],
)
def test_names_differ_in_whole_words(texts: list[str], parts: list[str]) -> None:
    assert differing_parts(texts) == parts


@pytest.mark.parametrize(
    ("url", "names", "wanted"),
    [
        ("/d/*.TIF", ["L_{}_SR_B2.TIF", "L_{}_SR_B3.TIF", "L_{}_QA_PIXEL.TIF"], "/d/*_SR_B2.TIF"),
        ("/d/**/*_B?.TIF", ["L_{}/L_{}_B2.TIF", "L_{}/L_{}_B3.TIF"], "/d/**/*_B2.TIF"),
        ("/d/**/*_B[23].TIF", ["L_{}/L_{}_B2.TIF", "L_{}/L_{}_B3.TIF"], "/d/**/*_B2.TIF"),
        ("s3://b/**/*.tif", ["x_{}_B1.tif", "x_{}_B11.tif"], "s3://b/**/*_B1.tif"),
        ("/d/*.tif", ["B02_{}.tif", "B03_{}.tif"], "/d/B02_*.tif"),
        ("/d/*.tif", ["a_B02_{}_x.tif", "a_B03_{}_x.tif"], "/d/a_B02_*.tif"),
        ("/d/*.tif", ["{}_B02_{}_x.tif", "{}_B03_{}_x.tif"], "/d/*_B02_*.tif"),
        ("/d/**/*.tif", ["{}/S1A/VV.tif", "{}/S1B/VV.tif"], "/d/**/S1A/**/*.tif"),
        ("/d/**/*.tif", ["T1/{}/x_{}.tif", "T2/{}/x_{}.tif"], "/d/**/T1/**/*.tif"),
        ("/d/*/*.tif", ["S1A_{}_ASC/VV.tif", "S1A_{}_DSC/VV.tif"], "/d/*_ASC/*.tif"),
        ("/d/**/*.tif", ["S1A_{}_ASC/VV.tif", "S1A_{}_DSC/VV.tif"], "/d/**/*_ASC/**/*.tif"),
        ("/d/**/*.tif", ["{}_SR_clip.tif", "{}_udm2_clip.tif"], "/d/**/*_SR_clip.tif"),
        ("/d/*.tif", ["x_{}.tif", "x_{}_mask.tif"], "/d/*[0-9].tif"),
        ("/d/*.tif", ["x [a]_{}_[b].tif", "x [a]_{}_[c].tif"], "/d/*_[[]b].tif"),
        ("/d/*.tif", ["B1_{}.tif", "b1_{}_x.tif", "B1_{}_y.tif"], "/d/*_y.tif"),
    ],
)
def test_one_wildcard_is_narrowed_to_match_one_scene_of_each_time(url: str, names: list[str], wanted: str) -> None:
    days = [datetime(2020, 1, 6, tzinfo=UTC) + timedelta(days=12 * number) for number in range(3)]
    folder = url[: url.index("*")]
    scenes = [(folder + name.replace("{}", f"{day:%Y%m%d}"), day) for day in days for name in names]
    assert narrower_url(url, scenes) == wanted


def test_where_no_narrower_glob_is_right_none_is_proposed() -> None:
    """The second band is not there on each day, and the first has two versions on one."""
    scenes = [("/d/20200106_B2_v1.tif", 6), ("/d/20200106_B3.tif", 6), ("/d/20200107_B2_v2.tif", 7)]
    scenes += [("/d/20200107_B2_v1.tif", 7), ("/d/20200108_B2_v2.tif", 8)]
    assert narrower_url("/d/*.tif", [(href, datetime(2020, 1, day, tzinfo=UTC)) for href, day in scenes]) is None
