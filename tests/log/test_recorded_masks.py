"""Masks in files of their own, as runs record them: verified and repeated as they were; changed ones are refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from log_folders import asked, run
from masked_scenes import MaskPlace, hidden_by, mask_settings, write_mask, write_pair
from scenes_on_disk import speckle

from runner.read.header import Window

SCENE = Window(0, 0, 300, 500)
PLACE = MaskPlace(2)
WORDS = ("source=local", r"mask.href.replace=['_B\.tif','_QA.tif']", "mask.bits=[1]", "output.dir=outputs/run")
DAYS = (1, 2, 3)


def codes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, PLACE.shape(SCENE), dtype=np.uint8)


def archive(folder: Path) -> None:
    for day in DAYS:
        write_pair(folder, day, SCENE, speckle(SCENE[2:], seed=day))
        write_mask(folder, day, SCENE, codes(day), PLACE)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A completed run, in outputs/run; its scenes are in data/."""
    cwd = tmp_path_factory.mktemp("masked")
    archive(cwd / "data")
    run(cwd, *WORDS, f"source.url={cwd}/data/*_B.tif")
    return cwd


@pytest.fixture
def altered(done: Path) -> Iterator[Path]:
    """The same run, in which the mask of the second scene was replaced afterwards."""
    path = done / "data/20200102_QA.tif"
    path.rename(path.with_suffix(".before"))
    write_mask(done / "data", 2, SCENE, codes(99), PLACE)
    yield done
    path.with_suffix(".before").rename(path)


def test_a_run_records_its_masks_and_counts_what_they_show(done: Path) -> None:
    rows = pd.read_parquet(done / "outputs/run/inputs.parquet")
    assert rows["mask_href"].tolist() == [f"{done}/data/2020010{day}_QA.tif" for day in DAYS]
    assert rows["mask_size"].tolist() == [Path(path).stat().st_size for path in rows["mask_href"]]
    assert rows["mask_etag"].notna().all()
    table = pd.read_parquet(done / "outputs/run/spatial_mean.parquet")
    for day, row in zip(DAYS, table.itertuples(), strict=True):
        pixels = speckle(SCENE[2:], seed=day)
        shown = ~hidden_by(done / f"data/2020010{day}_QA.tif", SCENE, mask_settings(bits=[1]), PLACE) & (pixels != 0)
        assert row.count == shown.sum()
        np.testing.assert_allclose(row.mean, pixels[shown].mean(dtype=np.float64), rtol=1e-12)
        np.testing.assert_allclose(row.valid_fraction, shown.mean())


def test_a_masked_run_is_verified_and_repeated_to_the_bit(done: Path, tmp_path: Path) -> None:
    verified = asked(done, "verify", "outputs/run", "--blocks", 9)
    assert verified.returncode == 0, verified.stdout
    again = asked(done, "rerun", "outputs/run", "--", f"output.dir={tmp_path}/again", "chunks=block")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "is the same bits" in again.stdout


def test_another_test_of_the_same_masks_gives_other_values(done: Path, tmp_path: Path) -> None:
    again = asked(done, "rerun", "outputs/run", "--", f"output.dir={tmp_path}/again", "mask.bits=[0]")
    assert again.returncode == 1
    assert "mask.bits" in again.stdout


def test_a_replaced_mask_is_refused_and_named(altered: Path, tmp_path: Path) -> None:
    verified = asked(altered, "verify", "outputs/run")
    assert verified.returncode == 1
    assert "20200102_QA.tif has changed: recorded with ETag" in verified.stdout
    again = asked(altered, "rerun", "outputs/run", "--", f"output.dir={tmp_path}/again")
    assert again.returncode == 1
    assert "20200102_QA.tif has changed: recorded with ETag" in again.stderr
    unpinned = asked(altered, "rerun", "outputs/run", "--unpinned", "--", f"output.dir={tmp_path}/unpinned")
    assert unpinned.returncode == 1
    assert "20200102_QA.tif of" in unpinned.stdout


def test_a_scene_whose_mask_is_gone_is_refused_or_left_out(done: Path, tmp_path: Path) -> None:
    path = done / "data/20200103_QA.tif"
    path.rename(tmp_path / "aside.tif")
    try:
        again = asked(done, "rerun", "outputs/run", "--", f"output.dir={tmp_path}/again")
        assert again.returncode == 1
        assert "20200103_QA.tif is gone (recorded with ETag" in again.stderr
        skipped = asked(done, "rerun", "outputs/run", "--", f"output.dir={tmp_path}/less", "mask.on_missing=skip")
        assert "left out: " in skipped.stdout
        first = pd.read_parquet(tmp_path / "less/inputs.parquet")
        assert first["skipped"].tolist() == [False, False, True]
        assert "20200103_QA.tif is gone" in first["reason"][2]
        repeated = asked(done, "rerun", f"{tmp_path}/less", "--", f"output.dir={tmp_path}/repeated")
        assert repeated.returncode == 0, repeated.stdout + repeated.stderr
    finally:
        (tmp_path / "aside.tif").rename(path)
