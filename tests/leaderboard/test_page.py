"""The page of a sweep: complete, self-contained, escaped, and fit for every width."""

import re
import shlex
from pathlib import Path

import pytest
from browser import measured
from log_folders import change
from marks import few_quick
from report_page import Page
from sweep_folders import CLUSTERS, Job, clusters, grid, trouble, write_results, write_sweep

from runner.leaderboard.board import read_leaderboard
from runner.leaderboard.figures import axes
from runner.leaderboard.show import write_leaderboard

MANY = {(str(y), str(t), kind): (2 + y / 1000 + 0.1 * t, 2.1 + y / 1000 + 0.1 * t)
        for y in (256, 512, 1024, 2048) for t in (1, 2, 4, 8) for kind in ("threads", "processes")}  # fmt: skip
SWEEPS = {
    "clusters": clusters(),
    "of every end": trouble(),
    "many": grid(MANY, "chunks.y", "chunks.time", CLUSTERS[0]),
    "one job": [Job({})],
    "long names": [Job({"source.url": f"s3://bucket/{'long_folder/' * 12}{at}/*.tif"}, (2.0 + at,), 4e8 + 1e8 * at)
                   for at in range(3)],
    "nothing completed": [Job({"chunks": "row"}, status="FAILED", reason="no network")],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _config_of_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up one: the true one takes two compositions, and has tests of its own."""
    monkeypatch.setattr("runner.leaderboard.best_config._text", lambda *_: "# @package _global_\nchunks: {time: 4}\n")


def page_of(folder: Path, jobs: list[Job]) -> Page:
    write_leaderboard(write_sweep(folder, jobs))
    return Page(folder / "sweep.html")


def test_the_answer_stands_first(tmp_path: Path) -> None:
    page = page_of(tmp_path / "sweep", clusters())
    said = page.one("p.answer").text
    assert said.startswith("Fastest: spatial_mean.cluster=threads temporal_mean.cluster=threads: 2.40 s")
    assert "3.83x as fast as the baseline (9.20 s)" in said


def test_the_table_has_every_job_and_why_it_did_not_complete(tmp_path: Path) -> None:
    page = page_of(tmp_path / "sweep", trouble())
    rows = page.rows("table.board")
    assert len([row for row in rows if row[1]]) == len(trouble())
    reasons = {row[2] for row in rows if len(row) == 3}
    assert reasons == {job.reason for job in trouble() if job.reason}
    assert "DIFFER" in {row[-1] for row in rows}


def test_a_job_links_to_the_report_of_its_run(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", [Job({"chunks": "row"}), Job({"chunks": "block"})])
    (folder / "001/report.html").touch()
    write_leaderboard(folder)
    assert [one.attributes["href"] for one in Page(folder / "sweep.html").all("table.board a")] == ["001/report.html"]


def test_every_job_is_a_dot_and_the_front_and_the_baseline_have_names(tmp_path: Path) -> None:
    page = page_of(tmp_path / "sweep", clusters())
    assert len(page.all("div.labelled path.dot")) == 10
    assert {"threads, threads", "sync, sync", "baseline"} <= {one.text for one in page.all("div.marks span")}


def test_no_label_lies_on_the_line_of_the_front(tmp_path: Path) -> None:
    jobs = [Job({"chunks": "large"}, (2.0,), 9e8), Job({"chunks": "small"}, (5.0,), 3e8)]
    labels = {one.text: one.attributes["class"].split() for one in page_of(tmp_path / "s", jobs).all("div.marks span")}
    assert labels["large"][0] == "above"
    assert labels["small"][0] == "left"  # above it the line comes down from the other


def test_each_key_that_was_swept_is_an_axis_the_one_that_matters_first(tmp_path: Path) -> None:
    walls = {
        (a, b): (2.0 + (a == "block") + 3 * (b == "processes"),) * 2
        for a in ("row", "block")
        for b in ("threads", "processes")
    }
    folder = write_sweep(tmp_path / "sweep", grid(walls, "chunks", CLUSTERS[0]))
    found = axes(read_leaderboard(folder))
    assert [axis.name for axis in found] == ["spatial_mean.cluster", "chunks"]
    assert found[0].medians == {"threads": 2.5, "processes": 5.5}  # over both chunks


def test_numbers_are_in_their_order_and_the_baselines_own_keys_are_no_axis(tmp_path: Path) -> None:
    jobs = [Job({"engine": "xarray"}, (9.0,), baseline=True), *grid({("1024",): (3.0,), ("64",): (2.0,)}, "chunks.y")]
    (axis,) = axes(read_leaderboard(write_sweep(tmp_path / "sweep", jobs)))
    assert list(axis.values) == ["64", "1024"]


def test_a_sweep_for_memory_is_plotted_by_memory(tmp_path: Path) -> None:
    jobs = [Job({"chunks": name}, (wall, wall + 0.2), peak) for name, wall, peak in (("a", 2.0, 9e8), ("b", 4.0, 3e8))]
    folder = write_sweep(tmp_path / "sweep", jobs, settings={"objective": ["peak", "wall"]})
    board = write_leaderboard(folder)
    (axis,) = axes(board)
    assert axis.medians == {"a": 9e8, "b": 3e8}
    page = Page(folder / "sweep.html")
    assert page.one("p.answer").text == "Least memory: chunks=b: 300 MB, median of 2 from 300 MB to 300 MB, 4.10 s."
    assert [one.text for one in page.all("table.board th") if one.attributes.get("colspan")] == ["memory"]
    assert "peak memory; each dot is a job" in page.source


def test_a_baseline_of_the_grid_is_on_its_axis(tmp_path: Path) -> None:
    jobs = [*grid({("row",): (3.0,)}, "chunks"), *grid({("notebook",): (4.0,)}, "chunks", baseline=True)]
    (axis,) = axes(read_leaderboard(write_sweep(tmp_path / "sweep", jobs)))
    assert list(axis.values) == ["row", "notebook"]


def test_the_command_is_as_it_was_typed_and_a_resumed_sweep_started_when_it_first_did(tmp_path: Path) -> None:
    typed = ["-m", "hydra/launcher=isolated", "--config-dir", "my conf", "chunks=row,block", "hydra.sweep.dir=here"]
    folder = write_sweep(tmp_path / "sweep", [Job({"chunks": "row"})], command=["/x/runner/__main__.py", *typed],
                         first_started="2026-11-22T09:00:00Z")  # fmt: skip
    write_leaderboard(folder)
    facts = facts_of(Page(folder / "sweep.html"))
    assert facts["command"] == f"cog-stack-runner {shlex.join(typed)}"
    assert facts["started"] == "2026-11-22 09:00:00 UTC"
    assert facts["resumed"] == "2026-11-23 14:05:09 UTC"
    assert facts["took"].endswith("since it was resumed")


@pytest.mark.parametrize(
    ("pids", "said"),
    [((7, 7, 7), "in one process, one after the other"), ((7, 8, 9), "in a process of its own"),
     ((7, 8, 7), "in one of 2 processes")],
)  # fmt: skip
def test_the_page_names_the_processes_of_another_launchers_jobs(
    tmp_path: Path, pids: tuple[int, ...], said: str
) -> None:
    for number, pid in enumerate(pids):
        folder = tmp_path / "sweep" / str(number)
        write_results(folder, Job({"chunks": str(number)}), "COMPLETED", 2.0)
        change(folder, pid=pid)
    write_leaderboard(tmp_path / "sweep")
    page = Page(tmp_path / "sweep/sweep.html")
    assert page.one("p.lead").text.endswith(said)
    assert ("in one process" in page.source) == (len(set(pids)) == 1)
    assert ("left in the process" in facts_of(page)["memory"]) == (len(set(pids)) < 3)


def facts_of(page: Page) -> dict[str, str]:
    """The facts under "Sweep"."""
    names, said = (page.all("dl.facts")[0].all(kind) for kind in ("dt", "dd"))
    return {name.text: one.text for name, one in zip(names, said, strict=True)}


def test_a_drift_over_the_order_of_the_runs_is_shown(tmp_path: Path) -> None:
    steady = [Job({"chunks": str(at)}, (2.0, 2.01, 2.0)) for at in range(4)]
    rising = [Job({"chunks": str(at)}, (2.0, 2.4, 2.8)) for at in range(4)]
    assert "In the order of the runs" not in page_of(tmp_path / "steady", steady).source
    assert "longer than the first" in page_of(tmp_path / "rising", rising).source


@pytest.mark.parametrize("jobs", SWEEPS.values(), ids=SWEEPS)
def test_it_loads_nothing_and_runs_nothing(tmp_path: Path, jobs: list[Job]) -> None:
    page = page_of(tmp_path / "sweep", jobs)
    assert not {one.name for one in page.elements} & {"script", "link", "img", "iframe", "object", "embed", "base"}
    assert not re.search(r"url\(|@import|\bon\w+=|javascript:", page.source)
    assert "default-src 'none'" in page.one("meta").parent.all("meta")[1].attributes["content"]


EVIL = '<script>alert("x")</script>&"\'><b onmouseover=alert(1)>'


def test_texts_from_outside_are_escaped(tmp_path: Path) -> None:
    jobs = [Job({EVIL: EVIL}, (2.0,)), Job({EVIL: "row"}, (3.0,), 4e8), Job({EVIL: "x"}, status="FAILED", reason=EVIL)]
    page = page_of(tmp_path / "sweep", jobs)
    assert not page.all("script")
    assert not [one for one in page.all("b") if "onmouseover" in one.attributes]
    assert page.rows("table.board")[0][2] == EVIL


@pytest.mark.parametrize("jobs", few_quick(SWEEPS.values(), 2), ids=SWEEPS)
def test_it_fits_every_width_and_no_label_lies_on_another(tmp_path: Path, jobs: list[Job]) -> None:
    write_leaderboard(write_sweep(tmp_path / "sweep", jobs))
    for layout in measured(tmp_path / "sweep/sweep.html", tmp_path):
        problems = {name: layout[name] for name in ("overflow", "overlapping", "outside", "cut")}
        assert problems == {"overflow": 0, "overlapping": [], "outside": [], "cut": []}, layout["width"]
