"""Shards of an archive: each stack in one of them for good, and all of them brought together again."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import Typed
from stack_archives import BY, same_results, source_words, write_archive

from runner.archive.shards import in_shard, shard_of
from runner.record.run_folder import read_run
from runner.record.stacks import read_stacks
from runner.source.parts import Part


@settings(max_examples=20)
@given(st.lists(st.text(min_size=1), unique=True, max_size=50), st.integers(1, 20))
def test_every_stack_is_in_one_shard_and_stays_there_when_others_come(names: list[str], shards: int) -> None:
    parts = [Part(name, {}, ()) for name in names]
    taken = [in_shard(parts, f"{number}/{shards}") for number in range(1, shards + 1)]
    assert sorted(part.name for parts in taken for part in parts) == sorted(names)
    assert [part.name for part in in_shard(parts, None)] == names
    for number, of_shard in enumerate(taken, 1):
        assert all(in_shard([part], f"{number}/{shards}") == [part] for part in of_shard)


def test_shards_are_of_about_equal_size() -> None:
    numbers = [
        shard_of(f"{zone}T{row}{column}_VV", 16) for zone in range(10, 20) for row in "EFGH" for column in range(25)
    ]
    counts = [numbers.count(number) for number in range(1, 17)]
    assert sum(counts) == 1000
    assert min(counts) > 40
    assert max(counts) < 85


@pytest.mark.slow
def test_shards_joined_are_a_run_of_the_whole_archive(typed: Typed, tmp_path: Path) -> None:
    root = write_archive(tmp_path / "data", tiles=5)
    words = [*source_words(root), BY]
    typed(*words, "output.dir=here", check=True)
    sizes = []
    for number in (1, 2, 3):
        done = typed(*words, f"output.dir=shard_{number}", f"archive.shard={number}/3")
        assert done.returncode == 0, done.stderr
        sizes.append(len(read_stacks(tmp_path / f"shard_{number}")))
        assert f"shard {number}/3: {sizes[-1]} of 10 stacks" in done.stderr
    assert sum(sizes) == 10
    few = typed("log", "join", "whole", "shard_1", "shard_3")
    assert few.returncode == 2
    assert "1 of 3 shards are missing: 2/3; run them, and name all" in few.stderr
    strange = typed("log", "join", "whole", "shard_1", "shard_2", "shard_3", "here")
    assert strange.returncode == 2
    assert "here is not a shard: it was run without archive.shard" in strange.stderr
    inodes = {path.parent.name: path.stat().st_ino for path in tmp_path.glob("shard_*/stacks/*/temporal_mean.tif")}
    joined = typed("log", "join", "whole", "shard_1", "shard_2", "shard_3")
    assert joined.returncode == 0, joined.stderr
    whole, here = tmp_path / "whole", tmp_path / "here"
    assert (whole / "spatial_mean.parquet").read_bytes() == (here / "spatial_mean.parquet").read_bytes()
    assert [row.stack for row in read_stacks(whole)] == [row.stack for row in read_stacks(here)]
    for name, inode in inodes.items():
        assert (whole / "stacks" / name / "temporal_mean.tif").stat().st_ino == inode  # moved, not computed again
        assert same_results(whole / "stacks" / name, here / "stacks" / name)
    assert read_run(whole).config["archive"]["shard"] is None
    assert typed("log", "verify", "whole").returncode == 0
    assert "there is nothing to resume" in typed("log", "resume", "whole").stdout


@pytest.mark.slow
def test_a_shard_that_was_stopped_is_completed_when_it_is_joined(typed: Typed, tmp_path: Path) -> None:
    root = write_archive(tmp_path / "data", tiles=4)
    words = [*source_words(root), BY]
    for number in (1, 2):
        typed(*words, f"output.dir=shard_{number}", f"archive.shard={number}/2", check=True)
    lost = next((tmp_path / "shard_2/stacks").iterdir())
    (lost / "run.json").write_text((lost / "run.json").read_text().replace('"COMPLETED"', '"INTERRUPTED"', 1))
    joined = typed("log", "join", "whole", "shard_1", "shard_2")
    assert joined.returncode == 0, joined.stderr
    assert read_run(tmp_path / "whole/stacks" / lost.name).status == "COMPLETED"


@pytest.mark.slow
def test_a_shard_without_stacks_is_a_run_of_none(typed: Typed, tmp_path: Path) -> None:
    root = write_archive(tmp_path / "data", tiles=1)
    empty = next(number for number in range(1, 9) if number not in (shard_of("10T00_VV", 8), shard_of("10T00_VH", 8)))
    done = typed(*source_words(root), BY, "output.dir=out", f"archive.shard={empty}/8")
    assert done.returncode == 0, done.stderr
    assert f"shard {empty}/8: 0 of 2 stacks" in done.stderr
    assert read_stacks(tmp_path / "out") == ()
