"""Who takes part: their command lines, their own timing, and whether what they found is right."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import rasterio
from measure import ContestantError
from task import SECONDS_FILE, Task
from workload import Doubles, Truth

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # relative: the peers' sums are float32
MARK = "floor-libdeflate"  # what all others are measured by
GDAL_WITH_MEANS = (3, 12)  # the first whose pixel functions leave nodata out


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the table. `script` is a file beside this one, None for the runner itself; `words` follow it.

    `masks` tells whether nodata is left out, None where no means are computed; `spatial` whether there are means of
    scenes besides the temporal one. With the words of `proof`, it checks the pixels that it reads, in the warm-up.
    """

    name: str
    script: str | None
    words: tuple[str, ...] = ()
    masks: bool | None = True
    spatial: bool = True
    proof: tuple[str, ...] = ()
    python: str = sys.executable

    def command(self, task: Task) -> list[str]:
        """The command line of a fresh process."""
        if self.script is None:
            return [self.python, "-m", "runner", *runner_overrides(task), *self.words]
        return [self.python, str(HERE / self.script), *task.words(), *self.words]

    def compute_seconds(self, folder: Path) -> float:
        """From the first pixel asked for to the last value, by the contestant's own clock; without start-up."""
        if self.script is None:
            passes = json.loads((folder / "run.json").read_text())["passes"]
            return sum(float(one["compute_seconds"]) for one in passes)
        return float(json.loads((folder / SECONDS_FILE).read_text())["compute"])

    def check(self, folder: Path, truth: Truth) -> float | None:
        """The largest relative error of its means, inf where it has a value and there is none; None without means."""
        if self.masks is None:
            return None
        true = truth.masked if self.masks else truth.unmasked
        temporal = largest_error(temporal_mean(folder, self.masks), true.temporal)
        return max(temporal, largest_error(spatial_means(folder), true.spatial)) if self.spatial else temporal


def runner_overrides(task: Task) -> list[str]:
    """The task in the runner's own words: a public bucket at another endpoint."""
    return [
        "source=sentinel1_rtc",
        f'source.url="{task.url}"',
        f"source.s3.endpoint_url={task.endpoint}",
        "source.s3.anonymous=true",
        f"source.limit={task.limit}",
        f"output.dir={task.folder}",
    ]


def runner_workers(kind: str, workers: int) -> list[str]:
    """So many workers for both stages, `kind` being threads or processes."""
    key = "n_workers" if kind == "processes" else "threads_per_worker"
    stages = ("spatial_mean", "temporal_mean")
    return [f"cluster@stages.{stage}.cluster={kind}" for stage in stages] + [
        f"stages.{stage}.cluster.{key}={workers}" for stage in stages
    ]


PEERS = (
    Contestant(MARK, "floor_libdeflate.py", masks=None, proof=("--check",)),
    Contestant("odc", "peer_odc.py"),
    Contestant("gdal", "peer_gdal.py", spatial=False),
    Contestant("notebook", "peer_notebook.py", masks=False),
    Contestant("notebook-masked", "peer_notebook.py", ("--mask",)),
)
NAMES = (MARK, "ours", "odc", "gdal", "notebook", "notebook-masked")


def contestants(names: Sequence[str], variants: Sequence[str], gdal_python: str) -> list[Contestant]:
    """Those of `names`; "ours" once as it comes and once for each variant, which is a line of overrides."""
    ours = [Contestant("ours", None)]
    ours += [Contestant(f"ours {line}", None, tuple(shlex.split(line)), "mask=none" not in line) for line in variants]
    peers = {peer.name: [peer] for peer in PEERS}
    peers["gdal"] = [replace(peer, python=gdal_python) for peer in peers["gdal"]]
    return [one for name in names for one in (ours if name == "ours" else peers[name])]


def gdal_version(python: str) -> tuple[int, ...]:
    """The version of GDAL that an interpreter's rasterio brings. Raises ContestantError."""
    command = [python, "-c", "import rasterio; print(rasterio.__gdal_version__)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return tuple(int(number) for number in done.stdout.split(".")[:3])
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise ContestantError(f"{python} has no rasterio to use: {said.strip().splitlines()[-1]}") from error


# --- what they found ----------------------------------------------------------------------------------------------


def spatial_means(folder: Path) -> Doubles:
    """The spatial means in a contestant's file, in order of time."""
    table = pq.read_table(folder / "spatial_mean.parquet", columns=["datetime", "mean"]).sort_by("datetime")
    return table["mean"].to_numpy().astype(np.float64)


def temporal_mean(folder: Path, masked: bool) -> Doubles:
    """The temporal mean in a contestant's file. Without a mask, 0 is a value and not nodata, whatever the file says."""
    with rasterio.open(folder / "temporal_mean.tif") as raster:
        return np.ma.filled(raster.read(1, masked=masked).astype(np.float64), np.nan)


def largest_error(found: Doubles, true: Doubles) -> float:
    """The largest relative error of any mean."""
    if found.shape != true.shape or not np.array_equal(np.isnan(found), np.isnan(true)):
        return float("inf")
    difference, scale = np.abs(found - true), np.maximum(np.abs(true), np.finfo(np.float32).tiny)
    return float(np.nanmax(difference / scale, initial=0.0))
