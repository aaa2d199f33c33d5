"""The plan says what is read, and what odd chunks cost."""

from pathlib import Path

import pytest
from conftest import compose, local_source, speckle, write_scene

from runner.errors import PlanError
from runner.model import Stack
from runner.plan import Chunks, make_plan, resolve_chunks
from runner.settings import ChunkSettings, OnError, S3Settings
from runner.source.scenes import find_inputs
from runner.source.stores import Stores


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    for day in (1, 2, 3):
        write_scene(tmp_path / f"2020010{day}.tif", speckle((600, 500)))
    return find_inputs(local_source(tmp_path), Stores(S3Settings()), OnError.stop, lambda done, total: None).stack


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ChunkSettings("auto", "auto", "auto"), Chunks(1, 600, 500)),
        (ChunkSettings(1, "block", "block"), Chunks(1, 256, 256)),
        (ChunkSettings(1, "block", "all"), Chunks(1, 256, 500)),
        (ChunkSettings("all", "all", "all"), Chunks(3, 600, 500)),
        (ChunkSettings(2, 100, 70), Chunks(2, 100, 70)),
        (ChunkSettings(99, 9999, 9999), Chunks(3, 600, 500)),
    ],
)
def test_words_become_numbers_within_the_stack(stack: Stack, settings: ChunkSettings, expected: Chunks) -> None:
    assert resolve_chunks(settings, stack) == expected


@pytest.mark.parametrize(
    ("overrides", "times"),
    [
        (["chunks=block"], 1.0),
        (["chunks=row"], 1.0),
        (["chunks=scene"], 1.0),
        (["chunks.y=300", "chunks.x=500"], 4 / 3),
    ],
)
def test_chunks_that_cut_blocks_read_them_more_than_once(stack: Stack, overrides: list[str], times: float) -> None:
    stage = make_plan(compose(*overrides), stack).stages[0]
    assert stage.over_read == pytest.approx(times)
    stored = sum(int(scene.header.layout.byte_counts.sum()) for scene in stack.scenes)
    assert stage.stored_bytes == round(stored * times)


def test_tasks_are_the_chunks_of_the_stack(stack: Stack) -> None:
    assert make_plan(compose("chunks=block"), stack).stages[0].tasks == 3 * 3 * 2


def test_the_notebooks_chunks_decode_19_percent_more(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "20200101.tif", speckle((5490, 5490)), blockxsize=512, blockysize=512, compress=None)
    source = local_source(path.parent)
    stack = find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None).stack
    assert make_plan(compose("chunks=notebook"), stack).stages[0].over_read == pytest.approx((12 / 11) ** 2)


def test_a_band_that_is_not_there_is_refused(stack: Stack) -> None:
    with pytest.raises(PlanError, match=r"source.band=2: the scenes have 1 band"):
        make_plan(compose("source.band=2"), stack)
