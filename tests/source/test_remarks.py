"""Scales, offsets and nodata values that items state and files do not are told, with the settings that apply them."""

from pathlib import Path

import pytest
from jobs import local_source
from scenes_on_disk import speckle, write_scene

from runner.model import Inputs
from runner.settings import OnError, SourceSettings
from runner.source.remarks import Stated, describe_stated
from runner.source.scenes import find_inputs
from runner.source.stores import Stores


def found(folder: Path, **changes: object) -> tuple[SourceSettings, Inputs]:
    for day in ("20200106", "20200112", "20200118"):
        write_scene(folder / f"{day}.tif", speckle((40, 30)))
    source = local_source(folder, **changes)
    return source, find_inputs(source, Stores(source.s3), OnError.stop, lambda done, total: None)


@pytest.mark.parametrize(
    ("stated", "changes", "said"),
    [
        (Stated(), {}, None),
        (Stated(1, 0, 0), {}, None),
        (Stated(nodata="0.0"), {}, None),
        (Stated(0.0001, -0.1, 0), {}, "source.scale=0.0001 source.offset=-0.1"),
        (Stated(nodata=-9999), {}, "source.nodata=-9999"),
        (Stated(nodata=-9999), {"nodata": -9999}, None),
        (Stated(0.5), {"mask_and_scale": False}, None),
        (Stated(0.5, 2), {"scale": 0.5, "offset": 2.0}, None),
    ],
)
def test_what_files_do_not_say_is_told_as_settings(
    tmp_path: Path, stated: Stated, changes: dict[str, object], said: str | None
) -> None:
    source, inputs = found(tmp_path, **changes)
    scenes = inputs.stack.scenes
    notes = describe_stated({scene.href: stated for scene in scenes[:2]}, inputs.stack, source)
    if said is None:
        assert notes == []
    else:
        (note,) = notes
        assert note.startswith("the items of 2 of 3 scenes state a scale, an offset or a nodata value that their files")
        assert note.endswith(f"for what the items state, set {said}")


def test_statements_that_differ_are_counted(tmp_path: Path) -> None:
    source, inputs = found(tmp_path)
    first, *others = inputs.stack.scenes
    (note,) = describe_stated({first.href: Stated(2), **{one.href: Stated(3) for one in others}}, inputs.stack, source)
    assert note.endswith("set source.scale=3, of most of them; there are 2 different statements")
