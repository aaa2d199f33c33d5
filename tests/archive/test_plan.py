"""The plan of an archive: its dates and keys, what is noted of its stacks, and why one of them has no scenes."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import rasterio
from jobs import compose
from scenes_on_disk import speckle, write_scene
from stac_items import collection_of, make_item, write_json
from stack_archives import source_words, write_archive

from runner.archive.plan import plan_archive, show_archive_plan
from runner.base.humanize import size
from runner.cluster.started import Expected
from runner.errors import ClusterError, PlanError

BY_TILE = ["source.stack_by=[tile]", "source.where.band=VV"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive"), tiles=2)


@pytest.mark.parametrize("headers", ["first", "all"])
def test_it_shows_the_dates_of_each_stack_and_the_keys_of_the_largest(
    archive: Path, headers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_archive_plan(compose(*source_words(archive), *BY_TILE, f"archive.headers={headers}"))
    shown = capsys.readouterr().out
    first, last = (line for line in shown.splitlines() if " key: " in line)
    assert first.startswith(f"first key: {archive}/10T00/S1A_20200106_10T00_ASC_VV.tif is scene ")
    assert first.endswith(", 2020-01-06 00:00:00, tile 10T00, orbit ASC, band VV")
    assert last.endswith(", 2020-01-18 00:00:00, tile 10T00, orbit ASC, band VV")
    assert shown.count("2020-01-06  2020-01-18  ") == 2


def test_the_plan_of_an_archive_says_once_which_threads_are_only_assumed(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_archive_plan(compose(*source_words(archive), *BY_TILE, "cluster=gateway", "cluster.n_workers=2"))
    assert capsys.readouterr().out.count("cluster=gateway: the threads of a worker are not known before it starts") == 1


@pytest.mark.parametrize(
    ("workers", "line", "threads", "memory"),
    [
        (
            Expected(3, 2, 10**9),
            "stacks run on 3 workers (archive.cluster=address), 2 threads and 1 GB each",
            2,
            7 * 10**8,
        ),
        (Expected(1, 1, None), "stacks run on 1 worker (archive.cluster=address), 1 thread each", 1, None),
        (Expected(1, 1, None, "it has no workers yet"), "it has no workers yet", 1, None),
    ],
)
def test_the_stacks_of_an_archive_on_a_cluster_are_planned_as_its_workers_run_them(
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workers: Expected,
    line: str,
    threads: int,
    memory: int | None,
) -> None:
    asked = Mock(return_value=workers)
    monkeypatch.setattr("runner.archive.plan.expected_workers", asked)
    on_cluster = ["archive.cluster=address", "archive.cluster.address=tcp://127.0.0.1:1"]
    job = compose(*source_words(archive), *BY_TILE, *on_cluster)
    planned = plan_archive(job)
    asked.assert_called_once_with(job.archive.cluster)
    for _, _, plan in planned.plans:
        assert {pass_.workers.threads for pass_ in plan.passes} == {threads}
        assert memory is None or {pass_.workers.memory_bytes for pass_ in plan.passes} == {memory}
    capsys.readouterr()
    show_archive_plan(job)
    shown = capsys.readouterr().out
    assert f"\n{line}\n" in shown
    assert "each worker holds up to" in shown


def test_a_scheduler_that_does_not_answer_ends_the_plan_of_an_archive_at_its_first_stack(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock(side_effect=ClusterError("no dask scheduler answers"))
    monkeypatch.setattr("runner.planning.planner.expected_workers", asked)
    with pytest.raises(ClusterError, match="^no dask scheduler answers$"):
        show_archive_plan(compose(*source_words(archive), *BY_TILE))
    asked.assert_called_once()


@pytest.mark.parametrize("headers", ["first", "all"])
def test_a_stack_of_which_filters_leave_nothing_says_which(archive: Path, headers: str) -> None:
    words = [*source_words(archive), *BY_TILE, "source.start=2021-01-01", f"archive.headers={headers}"]
    with pytest.raises(PlanError, match="2 of 2 stacks cannot run: 10T00: .* none of 3 objects is left") as caught:
        show_archive_plan(compose(*words))
    assert "which are of 2020-01-06 to 2020-01-18; left out: outside of source.start=2021-01-01" in str(caught.value)


def bytes_of_tile(path: Path) -> int:
    """The stored bytes of the only tile of a file, as GDAL tells them."""
    with rasterio.open(path) as raster:
        return int(raster.get_tag_item("BLOCK_SIZE_0_0", "TIFF", bidx=1))


@pytest.mark.parametrize("headers", ["first", "all"])
def test_its_totals_tell_the_requests_and_the_bytes_for_masks(
    tmp_path: Path, headers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for tile, rows in (("a", 40), ("b", 80)):
        for day in ("06", "12"):
            write_scene(tmp_path / f"{tile}_202001{day}_B.tif", speckle((rows, 30), seed=int(day)))
            write_scene(tmp_path / f"{tile}_202001{day}_Q.tif", np.zeros((rows, 30), np.uint8), nodata=None)
    words = ["source=local", f"source.url={tmp_path}/*_B.tif", "source.stack_by=[tile]", "mask.bits=[0]"]
    pattern = r"source.datetime_regex='(?P<tile>\w)_(?P<date>\d{8})'"
    job = compose(*words, pattern, "mask.href.replace=[_B,_Q]", f"archive.headers={headers}")
    show_archive_plan(job)
    shown = capsys.readouterr()
    stored = size(sum(map(bytes_of_tile, tmp_path.glob("*_Q.tif"))))
    assert "8 requests (4 for masks), " in shown.out
    assert f" stored in tiles ({stored} for masks), " in shown.out
    files = sum(path.stat().st_size for path in tmp_path.glob("*_B.tif"))
    assert f", {size(files)} in files\n" in shown.err


@pytest.mark.parametrize("headers", ["first", "all"])
def test_scales_that_items_state_and_files_do_not_are_noted_once(
    tmp_path: Path, headers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    items = []
    for tile in ("10TES", "10TET"):
        for day in ("06", "12"):
            write_scene(tmp_path / f"{tile}{day}.tif", speckle((40, 30)))
            item = make_item(f"{tile}{day}", f"2020-01-{day}T10:00:00Z")
            item["properties"]["tile"] = tile
            item["assets"]["red"]["raster:bands"] = [{"scale": 0.0001}]
            items.append(item)
    url = write_json(tmp_path / "items.json", collection_of(items))
    words = ["source=stac", f"source.url={url}", "source.asset=red", "source.stack_by=[tile]"]
    show_archive_plan(compose(*words, f"archive.headers={headers}"))
    news = capsys.readouterr().err
    assert "10TES: the items of 2 of 2 scenes state a scale, an offset or a nodata value that their files do" in news
    assert "set source.scale=0.0001\n" in news
    assert "such a note as that on 10TES is on 1 more stack: 10TET" in news
