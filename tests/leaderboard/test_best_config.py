"""The winner as an experiment: it composes to the winner's config, and a run with it gives the same bits."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from jobs import Cli
from marks import few_quick
from scenes_on_disk import speckle, write_scene
from sweep_folders import Job, composed, write_sweep

from runner.base.tree import flat
from runner.config import job_config
from runner.config.vocabulary import config_dir
from runner.errors import OutputError
from runner.leaderboard.board import read_leaderboard
from runner.leaderboard.show import show_leaderboard, write_leaderboard

OTHER_CONFIG = ("source=local", "source.url=/data/*.tif")
CASES = {
    "values": ("chunks.y=512", "fetch.ahead=8MiB", "source.limit=3"),
    "a cluster for each stage": (
        "cluster@stages.spatial_mean.cluster=processes", "cluster@stages.temporal_mean.cluster=sync",
        "stages.spatial_mean.cluster.n_workers=2"),
    "a stage more": ("+stage@stages.spread=temporal_mean", "stages.spread.statistics=[std,q05]"),
    "a group": ("chunks=row", "gdal=cloud"),
    "chunks of a stage": ("chunks@stages.temporal_mean.chunks=row", "stages.temporal_mean.chunks.time=2"),
    "a dropped stage": ("~stage@stages.temporal_mean", "chunks=scene"),
    "a cluster for all stages": ("+stage@stages.spread=temporal_mean", "cluster=processes", "cluster.n_workers=2"),
    "an experiment": ("experiment=seed_notebook", "chunks=row", "source.limit=5"),
    "another source": (*OTHER_CONFIG, "source.nodata=0", "gdal.options.GDAL_CACHEMAX=64"),
    "nothing": (),
}  # fmt: skip


def winner(folder: Path, *overrides: str, **same: object) -> Path:
    """A sweep whose winner is the job of these overrides."""
    jobs = [Job({"engine": "block"}, (2.0,), fixed=overrides, config=composed(*overrides)),
            Job({"engine": "xarray"}, (9.0,), fixed=overrides, config=composed(*overrides))]  # fmt: skip
    return write_sweep(folder, jobs)


@pytest.mark.parametrize("overrides", few_quick([(case,) for case in CASES.values()], 3), ids=CASES)
def test_it_composes_to_the_winners_config(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    sweep = winner(tmp_path / "sweep", *overrides)
    write_leaderboard(sweep)
    found = flat(composed(f"hydra.searchpath=[{sweep}]", "experiment=best"))
    assert found == flat(composed(*overrides))


def test_its_comment_names_its_origin(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "14-05-09_sweep", [
        Job({"chunks": "row"}, (2.0, 2.1, 2.2), fixed=(), config=composed("chunks=row")),
        Job({"chunks": "notebook"}, (6.3, 6.3, 6.3), baseline=True, config=composed("chunks=notebook")),
    ])  # fmt: skip
    write_leaderboard(sweep)
    lines = (sweep / "experiment/best.yaml").read_text().splitlines()
    assert lines[:3] == [
        "# @package _global_",
        "# The best of 2 jobs of the sweep 14-05-09_sweep: chunks=row",
        "# 2.10 s, the median of 3 runs, 500 MB, 3x as fast as the baseline; job 0",
    ]
    assert lines[3].startswith("# on 2026-11-23, on ")


def test_a_name_cannot_break_out_of_the_comment(tmp_path: Path) -> None:
    sweep = winner(tmp_path / "sweep\nengine: xarray")
    write_leaderboard(sweep)
    assert yaml.safe_load((sweep / "experiment/best.yaml").read_text()) == {}


def test_a_winner_that_can_no_longer_be_composed_leaves_the_table(tmp_path: Path) -> None:
    altered = {**composed(), "no_such_key": 1}
    sweep = write_sweep(tmp_path / "sweep", [Job({"chunks": "row"}, config=altered)])
    board = write_leaderboard(sweep)
    assert [path.name for path in board.files] == ["sweep.parquet", "sweep.html"]
    assert "no_such_key" in board.notes[0]


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_text('{"schema": 3, "sta')])
def test_a_winner_without_a_record_leaves_the_table(
    tmp_path: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = winner(tmp_path / "sweep")
    write_leaderboard(sweep)
    damage(sweep / "000/run.json")
    board = write_leaderboard(sweep)
    show_leaderboard(board)
    shown = capsys.readouterr().out
    assert re.search(r"No best\.yaml: \S*000/run\.json", shown)
    assert "unknown" in shown
    assert "to run the best again" not in shown
    assert not (sweep / "experiment/best.yaml").exists()  # that of the earlier look


def test_an_earlier_file_is_removed_if_there_is_no_winner(tmp_path: Path) -> None:
    sweep = winner(tmp_path / "sweep")
    write_leaderboard(sweep)
    assert (sweep / "experiment/best.yaml").is_file()
    for file in sweep.glob("*/job.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "status": "FAILED"}))
    write_leaderboard(sweep)
    assert not (sweep / "experiment/best.yaml").exists()


def test_a_link_in_place_of_its_folder_is_refused(tmp_path: Path) -> None:
    sweep = winner(tmp_path / "sweep")
    theirs = tmp_path / "elsewhere/best.yaml"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    (sweep / "experiment").symlink_to(theirs.parent)
    with pytest.raises(OutputError, match="is a link, and a sweep writes only into its own folder"):
        write_leaderboard(sweep)
    assert theirs.read_text() == "theirs"


def test_an_application_of_hydra_that_runs_is_left_as_it_is(tmp_path: Path) -> None:
    sweep = winner(tmp_path / "sweep")
    job_config.register_settings()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        write_leaderboard(sweep)
        assert GlobalHydra.instance().hydra is before
        assert compose("config", ["chunks=row"]).chunks.y == "block"


@pytest.mark.slow
def test_a_run_with_it_is_the_winners_run_and_gives_the_same_bits(cli: Cli, tmp_path: Path) -> None:
    for day in (6, 12):
        write_scene(tmp_path / f"data/S1A_202001{day:02}.tif", speckle((300, 300), seed=day))
    overrides = ("source=local", f"source.url={tmp_path}/data/*.tif", "hydra.sweep.dir=sweep")
    done(cli("-m", *overrides, "chunks=row,block"))
    best = write_leaderboard(tmp_path / "sweep").best
    assert best is not None
    done(cli("--config-dir", "sweep", "experiment=best", "output.dir=again"))
    again, first = (
        json.loads((folder / "run.json").read_text()) for folder in (tmp_path / "again", best.attempts[0].path)
    )
    assert again["config_sha256"] == first["config_sha256"]
    assert digests(tmp_path / "again") == digests(best.attempts[0].path)
    assert {row.agreement.verdict for row in read_leaderboard(tmp_path / "sweep").rows} == {"same"}


def done(process: "subprocess.CompletedProcess[str]") -> None:
    assert process.returncode == 0, process.stderr


def digests(folder: Path) -> list[str]:
    files = json.loads((folder / "outputs.json").read_text())["files"]
    return [values["sha256"] for file in files for values in file["values"]]
