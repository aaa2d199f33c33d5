"""The demo archive: its layout, its files, and that it is whole or not there."""

import hashlib
import json
import multiprocessing
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate
from waiting import wait_until

from runner.demo import archive as archive_module
from runner.demo.archive import DEFAULT_SPEC, ArchiveSpec, default_cache_dir, ensure_archive
from runner.errors import ConfigError, SourceError

SMALL = ArchiveSpec(scenes=6, width=420, height=430, block=128)
TINY = ArchiveSpec(scenes=2, width=150, height=140, block=128)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_archive(tmp_path_factory.mktemp("cache"), SMALL)


def scenes(root: Path) -> list[Path]:
    """The archive's files in order of time."""
    return sorted(root.rglob("*.tif"), key=lambda path: re.findall(r"\d{8}", str(path))[-1])


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        values: np.ndarray = raster.read(1)
        return values


def digests(root: Path, of: Callable[[Path], bytes] = Path.read_bytes) -> dict[str, str]:
    return {str(path.relative_to(root)): hashlib.sha256(of(path)).hexdigest() for path in scenes(root)}


# ---- what is in it ---------------------------------------------------------------------------------------------------


def test_keys_are_laid_out_as_in_the_real_bucket(root: Path) -> None:
    assert [str(path.relative_to(root)) for path in scenes(root)[:3]] == [
        "demo-sentinel1-rtc/tiles/RTC/1/IW/10/T/ET/2020/S1B_20200106_10TET_ASC/Gamma0_VV.tif",
        "demo-sentinel1-rtc/tiles/RTC/1/IW/10/T/ET/2020/S1A_20200112_10TET_DSC/Gamma0_VV.tif",
        "demo-sentinel1-rtc/tiles/RTC/1/IW/10/T/ET/2020/S1B_20200118_10TET_ASC/Gamma0_VV.tif",
    ]


def test_later_years_have_folders_of_their_own() -> None:
    assert "/ET/2021/S1A_20210105_10TET_" in replace(DEFAULT_SPEC, days_apart=365).scene(1).key


def test_the_only_folder_is_the_bucket(root: Path) -> None:
    assert [path.name for path in root.iterdir() if path.is_dir()] == ["demo-sentinel1-rtc"]


def test_every_scene_is_a_valid_cog(root: Path) -> None:
    for path in scenes(root):
        valid, errors, warnings = cog_validate(path, strict=True)
        assert (valid, errors, warnings) == (True, [], [])


def test_scenes_are_encoded_as_the_real_ones(root: Path) -> None:
    with rasterio.open(scenes(root)[0]) as raster:
        assert (raster.count, raster.dtypes, raster.nodata, raster.shape) == (1, ("float32",), 0, (430, 420))
        assert (raster.crs.to_epsg(), tuple(raster.transform)[:6]) == (32610, (20, 0, 499980, 0, -20, 5300040))
        assert (raster.block_shapes, raster.overviews(1)) == ([(128, 128)], [2, 4])
        structure = raster.tags(ns="IMAGE_STRUCTURE")
        assert (structure["COMPRESSION"], structure["PREDICTOR"], structure["LAYOUT"]) == ("DEFLATE", "3", "COG")
        assert raster.tags()["DATE"] == "2020-01-06"
        assert raster.tags()["SATELLITE"] == "S1B"


@pytest.mark.parametrize(("predictor", "written"), [(1, None), (2, "2"), (3, "3")])
def test_the_predictor_can_be_chosen(tmp_path: Path, predictor: int, written: str | None) -> None:
    root = ensure_archive(tmp_path, replace(TINY, scenes=1, predictor=predictor))
    with rasterio.open(scenes(root)[0]) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR") == written


def test_pixels_are_positive_or_nodata(root: Path) -> None:
    for path in scenes(root):
        values = pixels(path)
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert 1e-5 < values[values > 0].min() < values.max() < 100


def test_some_swaths_leave_a_part_of_the_tile_out_and_some_none(root: Path) -> None:
    missing = [float((pixels(path) == 0).mean()) for path in scenes(root)]
    assert missing[0] == missing[3] == missing[5] == 0
    assert missing[1:5:3] == pytest.approx([0.27, 0.07], abs=0.02)
    assert missing[2] == pytest.approx(0.12, abs=0.02)


@pytest.mark.parametrize(("scene", "side", "lean"), [(1, "east", -0.23), (2, "west", 0.23)])
def test_edges_slant_as_the_orbits_do(root: Path, scene: int, side: str, lean: float) -> None:
    valid = pixels(scenes(root)[scene]) > 0
    edge = valid.argmax(axis=1) if side == "west" else valid.sum(axis=1)
    rows = np.arange(len(edge))[edge > 0]
    assert np.polyfit(rows, edge[edge > 0], 1)[0] == pytest.approx(lean, abs=0.02)
    assert all((np.diff(row.astype(int)) != 0).sum() <= 1 for row in valid)  # one edge, and no holes


def test_speckle_is_that_of_four_and_a_half_looks(tmp_path: Path) -> None:
    # The ratio of two dates is free of the landscape; for gamma speckle of L looks, var(log) is trigamma(L) each.
    first, _, _, fourth = scenes(ensure_archive(tmp_path, replace(TINY, scenes=4, width=400, height=400)))
    spread = np.var(np.log(pixels(first)) - np.log(pixels(fourth)))
    assert spread == pytest.approx(2 * 0.2554, rel=0.05)  # trigamma(4.4) = 0.2554


def test_the_mean_over_time_shows_water_dark_and_the_town_bright(root: Path) -> None:
    stack = np.stack([pixels(path) for path in scenes(root)])
    mean = 10 * np.log10(np.where(stack > 0, stack, np.nan)[[0, 3, 5]].mean(axis=0))
    assert (mean < -17).mean() == pytest.approx(0.06, abs=0.03)  # the lake and the river
    assert (mean > -2).mean() == pytest.approx(0.01, abs=0.01)


def test_the_landscape_is_the_same_at_another_size(root: Path, tmp_path: Path) -> None:
    larger = pixels(scenes(ensure_archive(tmp_path, replace(SMALL, scenes=1, width=840, height=860)))[0])
    halved = larger.reshape(430, 2, 420, 2).mean(axis=(1, 3))
    smoothed = [a.reshape(43, 10, 42, 10).mean(axis=(1, 3)) for a in (halved, pixels(scenes(root)[0]))]
    assert np.corrcoef(smoothed[0].ravel(), smoothed[1].ravel())[0, 1] > 0.95


# ---- the same spec gives the same files ------------------------------------------------------------------------------


def test_two_builds_have_the_same_bytes_and_times(root: Path, tmp_path: Path) -> None:
    again = ensure_archive(tmp_path, SMALL)
    assert again.name == root.name
    assert digests(again) == digests(root)
    assert [path.stat().st_mtime_ns for path in scenes(again)] == [path.stat().st_mtime_ns for path in scenes(root)]


def test_a_scene_was_last_modified_on_its_day(root: Path) -> None:
    modified = datetime.fromtimestamp(scenes(root)[1].stat().st_mtime, UTC)
    assert modified.date() == date(2020, 1, 12)


def test_how_many_rows_are_made_at_a_time_changes_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "BAND_ROWS", 100)
    assert digests(ensure_archive(tmp_path, SMALL)) == digests(root)


def test_more_scenes_do_not_change_the_first_ones(root: Path, tmp_path: Path) -> None:
    fewer = ensure_archive(tmp_path, replace(SMALL, scenes=2))
    assert [pixels(a).tobytes() for a in scenes(fewer)] == [pixels(b).tobytes() for b in scenes(root)[:2]]


@pytest.mark.parametrize("change", [{"seed": 1}, {"width": 151}, {"predictor": 1}, {"first": date(2020, 1, 7)}])
def test_another_spec_has_another_folder(tmp_path: Path, change: dict[str, Any]) -> None:
    assert ensure_archive(tmp_path, TINY) != ensure_archive(tmp_path, replace(TINY, **change))


def test_scenes_beyond_the_distinct_ones_are_links(tmp_path: Path) -> None:
    found = scenes(ensure_archive(tmp_path, replace(TINY, scenes=5, distinct_scenes=2)))
    assert [path.stat().st_ino for path in found] == [found[i % 2].stat().st_ino for i in range(5)]
    assert len({str(path) for path in found}) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"scenes": 0}, "1 or more"), ({"block": 100}, "block is 100"), ({"predictor": 4}, "predictor is 4"),
     ({"distinct_scenes": 0}, "1 or more")],
)  # fmt: skip
def test_a_spec_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ArchiveSpec(**wrong)


# ---- the cache -------------------------------------------------------------------------------------------------------


def test_an_archive_is_made_once(tmp_path: Path) -> None:
    made: list[tuple[int, int]] = []
    first = ensure_archive(tmp_path, TINY, lambda done, total: made.append((done, total)))
    changed = {path: path.stat().st_ctime_ns for path in scenes(first)}
    second = ensure_archive(tmp_path, TINY, lambda done, total: made.append((done, total)))
    assert (first, made) == (second, [(1, 2), (2, 2)])
    assert {path: path.stat().st_ctime_ns for path in scenes(second)} == changed


def test_an_interrupted_build_leaves_nothing_and_is_not_used(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_archive(tmp_path, TINY, interrupt)
    assert list(tmp_path.iterdir()) == []
    assert len(scenes(ensure_archive(tmp_path, TINY))) == 2


@pytest.mark.slow
def test_a_build_that_was_killed_is_not_used_and_removed_after_a_day(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    builder = context.Process(target=ensure_archive, args=(tmp_path, replace(TINY, scenes=20_000)))
    builder.start()
    wait_until(lambda: list(tmp_path.rglob("*.tif")))
    builder.kill()
    builder.join()
    builder.close()
    (left,) = tmp_path.iterdir()
    ensure_archive(tmp_path, TINY)
    assert left.exists()  # another process might still be at it
    os.utime(left, (0, 0))
    ensure_archive(tmp_path, replace(TINY, seed=2))
    assert not left.exists()


@pytest.mark.parametrize("harm", ["file missing", "file cut short", "manifest missing", "manifest empty"])
def test_a_damaged_archive_is_made_again(tmp_path: Path, harm: str) -> None:
    root = ensure_archive(tmp_path, TINY)
    before = digests(root)
    victim = root / "archive.json" if harm.startswith("manifest") else scenes(root)[0]
    if harm.endswith("missing"):
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[: 1000 if harm.startswith("file") else 0])
    assert digests(ensure_archive(tmp_path, TINY)) == before
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


@pytest.mark.slow
def test_two_processes_at_once_both_succeed(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = [pool.apply_async(ensure_archive, (tmp_path, SMALL)) for _ in range(2)]
        first, second = (folder.get(60) for folder in folders)
    assert first == second
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    assert len(scenes(first)) == 6


def test_the_second_to_finish_keeps_the_first_ones_archive(tmp_path: Path) -> None:
    inner: list[dict[Path, int]] = []

    def race(done: int, total: int) -> None:
        if done == total:
            root = ensure_archive(tmp_path, TINY)
            inner.append({path: path.stat().st_ino for path in scenes(root)})

    root = ensure_archive(tmp_path, TINY, race)
    assert {path: path.stat().st_ino for path in scenes(root)} == inner[0]


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=r"cannot be made in .*file: Not a directory; .* set XDG_CACHE_HOME"):
        ensure_archive(tmp_path / "file", TINY)


def test_a_file_that_came_out_short_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = archive_module._write_cog

    def write_and_cut(path: Path, *rest: Any) -> None:
        write(path, *rest)
        path.write_bytes(path.read_bytes()[:-5000])  # as on a full disk

    monkeypatch.setattr(archive_module, "_write_cog", write_and_cut)
    with pytest.raises(SourceError, match="cannot be made"):
        ensure_archive(tmp_path, TINY)
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_names_every_file(root: Path) -> None:
    sizes = json.loads((root / "archive.json").read_text())
    assert sizes == {str(path.relative_to(root)): path.stat().st_size for path in scenes(root)}


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("/somewhere", "/somewhere/cog-stack-runner"),
        ("", "~/.cache/cog-stack-runner"),
        ("not/absolute", "~/.cache/cog-stack-runner"),
    ],
)
def test_the_default_cache_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch, variable: str, expected: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    assert default_cache_dir() == Path(expected).expanduser()


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(SourceError, match="no home; set XDG_CACHE_HOME"):
        default_cache_dir()
