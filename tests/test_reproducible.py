"""Two runs of one config leave the same bytes; on another cluster, in other chunks, the same values."""

import json
from pathlib import Path

import pytest
from jobs import Cli, Typed
from scenes_on_disk import speckle, write_scene

pytestmark = pytest.mark.slow  # each starts runs

STATISTICS = tuple(f"stages.{stage}.statistics=[mean,count,std,min,max]" for stage in ("spatial_mean", "temporal_mean"))
WITH_TIMES = {"run.json", "run.log", "events.jsonl", "trace.parquet", "report.html"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes of three by three tiles."""
    folder = tmp_path_factory.mktemp("scenes")
    for day in range(1, 5):
        write_scene(folder / f"2020010{day}.tif", speckle((600, 700), seed=day))
    return folder


def run(cli: Cli | Typed, scenes: Path, folder: Path, *words: str) -> Path:
    """A run of a few scenes, five statistics of them, into `folder`."""
    done = cli("source=local", f"source.url={scenes}/*.tif", *STATISTICS, *words, f"output.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name not in WITH_TIMES}


def values_of(folder: Path) -> dict[tuple[str, str], str]:
    files = json.loads((folder / "outputs.json").read_text())["files"]
    return {(file["name"], one["name"]): one["sha256"] for file in files for one in file["values"]}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference") / "run"


@pytest.fixture
def first(typed: Typed, scenes: Path, reference: Path) -> Path:
    """The run as it comes, made once."""
    return reference if reference.exists() else run(typed, scenes, reference)


@pytest.mark.parametrize(
    "words", [(), pytest.param(("output.compression=zstd", "output.raster_dtype=float64"), marks=pytest.mark.slow)]
)
def test_a_second_run_leaves_the_same_bytes(cli: Cli, tmp_path: Path, scenes: Path, words: tuple[str, ...]) -> None:
    one, other = (bytes_of(run(cli, scenes, tmp_path / name, *words)) for name in ("one", "other"))
    assert {"spatial_mean.parquet", "inputs.parquet", "temporal_mean.tif", "temporal_std.tif"} <= set(one)
    assert [path for path in one if one[path] != other.get(path)] == []


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("chunks=block", "chunks.time=1"), marks=pytest.mark.slow),
        ("cluster@stages.temporal_mean.cluster=sync", "chunks.y=300", "chunks.snap=false", "fuse=false"),
        pytest.param(("reader=gdal", "output.compression=lzw", "output.level=9"), marks=pytest.mark.slow),
        pytest.param(
            ("cluster@stages.spatial_mean.cluster=processes", "cluster@stages.temporal_mean.cluster=processes"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=" ".join,
)
def test_another_way_to_the_results_leaves_the_same_values(
    typed: Typed, tmp_path: Path, scenes: Path, first: Path, words: tuple[str, ...]
) -> None:
    assert values_of(run(typed, scenes, tmp_path / "other", *words)) == values_of(first)


def test_a_run_without_a_mask_has_other_values(typed: Typed, tmp_path: Path, scenes: Path, first: Path) -> None:
    masked, unmasked = values_of(first), values_of(run(typed, scenes, tmp_path / "unmasked", "mask=none"))
    assert masked.keys() == unmasked.keys()
    assert masked["temporal_mean.tif", "mean"] != unmasked["temporal_mean.tif", "mean"]
