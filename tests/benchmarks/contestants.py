"""Who takes part: their command lines, their own timing, and whether what they found is right."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import rasterio
from task import SECONDS_FILE, Task
from workload import Means, Truth

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # relative: the peers' sums are float32


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the table. `script` is a file beside this one, None for the runner itself; `words` follow it.

    `masks` tells whether nodata is left out, None where no means are computed.
    """

    name: str
    script: str | None
    words: tuple[str, ...] = ()
    masks: bool | None = True

    def command(self, task: Task) -> list[str]:
        """The command line of a fresh process."""
        if self.script is None:
            return [sys.executable, "-m", "runner", *runner_overrides(task), *self.words]
        return [sys.executable, str(HERE / self.script), *task.words(), *self.words]

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
        return largest_error(read_means(folder, self.masks), truth.masked if self.masks else truth.unmasked)


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
    Contestant("floor", "floor.py", masks=None),
    Contestant("odc", "peer_odc.py"),
    Contestant("notebook", "peer_notebook.py", masks=False),
    Contestant("notebook-masked", "peer_notebook.py", ("--mask",)),
)
NAMES = ("floor", "ours", "odc", "notebook", "notebook-masked")


def contestants(names: Sequence[str], variants: Sequence[str]) -> list[Contestant]:
    """Those of `names`; "ours" once as it comes and once for each variant, which is a line of overrides."""
    ours = [Contestant("ours", None)]
    ours += [Contestant(f"ours {line}", None, tuple(shlex.split(line)), "mask=none" not in line) for line in variants]
    peers = {peer.name: [peer] for peer in PEERS}
    return [one for name in names for one in (ours if name == "ours" else peers[name])]


# --- what they found ----------------------------------------------------------------------------------------------


def read_means(folder: Path, masked: bool) -> Means:
    """The means in a contestant's files. Without a mask, 0 is a value and not nodata, whatever the file says."""
    table = pq.read_table(folder / "spatial_mean.parquet", columns=["datetime", "mean"]).sort_by("datetime")
    with rasterio.open(folder / "temporal_mean.tif") as raster:
        temporal = raster.read(1, masked=masked).astype(np.float64)
    spatial = table["mean"].to_numpy().astype(np.float64)
    return Means(spatial, np.ma.filled(temporal, np.nan))


def largest_error(found: Means, true: Means) -> float:
    """The largest relative error of any mean."""
    return max(_largest_error(found.spatial, true.spatial), _largest_error(found.temporal, true.temporal))


def _largest_error(found: npt.NDArray[np.float64], true: npt.NDArray[np.float64]) -> float:
    if found.shape != true.shape or not np.array_equal(np.isnan(found), np.isnan(true)):
        return float("inf")
    difference, scale = np.abs(found - true), np.maximum(np.abs(true), np.finfo(np.float32).tiny)
    return float(np.nanmax(difference / scale, initial=0.0))
