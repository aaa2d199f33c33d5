"""Run folders for the tests of what looks at them: a record alone, or real ones with outputs.json added."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import rasterio
from msgspec.structs import replace
from run_records import facts_of
from typed import typed
from waiting import LONG

from runner.record import run_record
from runner.record.run import Cluster, Code, Fetched, PassRecord, Run, StackRecord, TaskSize

CONFIG: dict[str, Any] = {
    "engine": "block",
    "source": {"name": "lake", "url": "s3://bucket/lake/**/*.tif", "exclude": []},
    "chunks": {"time": "auto", "y": 512, "x": "auto"},
    "stages": {
        "spatial_mean": {"over": "space", "statistics": ["mean", "count"]},
        "temporal_mean": {"over": "time", "statistics": ["mean"]},
    },
    "output": {"dir": "/somewhere/else"},
}
PASS = PassRecord(
    name="spatial_mean+temporal_mean", stages=("spatial_mean", "temporal_mean"), tasks=6,
    cluster=Cluster("threads", n_workers=1, threads=2), chunks=TaskSize(4, 512, 512),
    fetched=Fetched(requests=48, bytes=80_000_000, retries=3), start_seconds=0.1, compute_seconds=2.0,
    peak_bytes=500_000_000,
)  # fmt: skip
# As it stands while it is under way, and for good if it does not end.
UNENDED = replace(PASS, fetched=None, compute_seconds=None, peak_bytes=None)


def ask(cwd: Path, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m runner.log ...` as typed in `cwd`."""
    command = [sys.executable, "-W", "error::DeprecationWarning:runner", "-m", "runner.log", *map(str, words)]
    return subprocess.run(command, **{"cwd": cwd, "capture_output": True, "text": True, "timeout": LONG, **options})


def asked(cwd: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The same within this process."""
    return typed(cwd, "log", *words)


def change(folder: Path, **facts: Any) -> Path:
    """Rewrite facts of a run.json."""
    (folder / "run.json").write_text(json.dumps({**facts_of(folder), **facts}))
    return folder


def write_run(folder: Path, settings: dict[str, Any] | None = None, **values: Any) -> Path:
    """A completed run, without files beside run.json; `settings` are dotted keys of its config, `values` its fields."""
    config = json.loads(json.dumps(CONFIG))
    for key, value in (settings or {}).items():
        node = config
        *above, last = key.split(".")
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    now = datetime.now(UTC)
    run = Run(
        status="COMPLETED", exit_code=0, started=now, ended=now, heartbeat=now, seconds=12.5,
        command=("/x/runner/__main__.py",), overrides=(), config=config, code=Code("c0ffee"), python="3.11.7",
        platform="Linux", host=platform.node(), versions={"cog-stack-runner": "0.1.0", "numpy": "2.4.6"},
        pid=os.getpid(), cores=2, kernels="1", stack=StackRecord(config["source"]["name"], scenes=4), passes=(PASS,),
    )  # fmt: skip
    folder.mkdir(parents=True)
    run_record.write_run(
        folder / "run.json", msgspec.convert({**msgspec.to_builtins(run), **msgspec.to_builtins(values)}, Run)
    )
    return folder


def complete(folder: Path) -> Path:
    """Add the outputs.json that runs of this version leave, if it is not there; digests by plain numpy."""
    path = folder / "outputs.json"
    if not path.exists():
        files = [_describe(folder, name) for name in facts_of(folder)["outputs"]]
        path.write_text(json.dumps({"schema": 1, "files": files}))
    return folder


def _describe(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    over = "space" if path.suffix == ".parquet" else "time"
    if over == "space":
        stage, table = path.stem, pd.read_parquet(path)
        names = facts_of(folder)["config"]["stages"][stage]["statistics"]
        values = {one: table[one].to_numpy() for one in names}
    else:
        stage = "temporal_mean"
        with rasterio.open(path) as raster:
            values = {path.stem.removeprefix("temporal_"): raster.read(1)}
    return {
        "name": name, "bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "stage": stage, "over": over, "values": [_digest(one, array) for one, array in values.items()],
    }  # fmt: skip


def _digest(name: str, array: np.ndarray) -> dict[str, Any]:
    kind = array.dtype.kind
    if kind == "f":
        array = np.where(np.isnan(array), np.nan, array)  # 0/0 is another NaN on another machine
    digest = hashlib.sha256(array.astype(f"<{kind}{array.dtype.itemsize}").tobytes("C"))
    return {"name": name, "sha256": digest.hexdigest(), "dtype": array.dtype.name, "shape": list(array.shape)}


def run(cwd: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m runner ...` in `cwd`, which must not fail; within this process, unless options of one are given."""
    command = [sys.executable, "-m", "runner", *words]
    with_options = partial(subprocess.run, command, cwd=cwd, capture_output=True, text=True, timeout=LONG, **options)
    done = with_options() if options else typed(cwd, *words)
    assert done.returncode == 0, done.stderr
    return done


def altered_pixel(path: Path, row: int, column: int) -> None:
    """Write another value into one pixel of a raster."""
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        window = ((row, row + 1), (column, column + 1))
        raster.write(raster.read(1, window=window) + 1, 1, window=window)
