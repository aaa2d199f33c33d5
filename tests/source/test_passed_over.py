"""What a wide pattern matches beside TIFFs is never a scene."""

import pytest

from runner.model import StoredObject
from runner.source.passed_over import describe_passed_over, split_scenes


@pytest.mark.parametrize(
    ("names", "scenes", "said"),
    [
        (["a.tif"], ["a.tif"], []),
        (
            [
                "a.tif",
                "a.tif.aux.xml",
                "a.tif.msk",
                "a.tif.ovr",
                "a.tfw",
                "a.json",
                "a.xml",
                "b.TIFF",
                "x",
                "c.AUX.XML",
            ],
            ["a.tif", "b.TIFF"],
            ["passed over as scenes: 8 files that are not TIFFs by name (.aux.xml, .msk, .ovr, .tfw, ...)"],
        ),
        (
            ["a.tif", "notes"],
            ["a.tif"],
            ["passed over as scenes: 1 file that is not a TIFF by name (without an ending)"],
        ),
        (
            ["a", "a.aux.xml", "b.cog"],
            ["a", "b.cog"],
            ["passed over as scenes: 1 file that is not a TIFF by name (.aux.xml)"],
        ),
        (["a.json"], ["a.json"], []),  # asked for by name, it is refused as what it is
    ],
)
def test_files_beside_tiffs_are_never_scenes_and_are_told(names: list[str], scenes: list[str], said: list[str]) -> None:
    kept, passed_over = split_scenes([StoredObject(f"s3://b/{name}") for name in names])
    assert [item.href.removeprefix("s3://b/") for item in kept] == scenes
    assert describe_passed_over(passed_over) == said
