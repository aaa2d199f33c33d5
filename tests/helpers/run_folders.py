"""Made-up run folders as `runner` leaves them (schema 2), of any size, however the run ended."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heapreplace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from runner.demo.landscape import draw_landscape
from runner.model import Grid
from runner.output.raster import write_raster
from runner.settings import OutputSettings

STARTED = datetime(2026, 3, 2, 14, 5, 9, 250000, tzinfo=UTC)
FIRST_SCENE = datetime(2020, 1, 6, 14, 20, tzinfo=UTC)
LISTED, START_SECONDS = 1.4, 0.8  # until headers are read; until workers are there
TIME = pa.timestamp("us", tz="UTC")
PREFIX = "s3://demo-sentinel1-rtc/tiles/RTC/1/IW/10/T/ET/2020/"
STAGES = ["spatial_mean", "temporal_mean"]


@dataclass(frozen=True)
class Shape:
    """How large the run is."""

    scenes: int = 20
    height: int = 320
    width: int = 300
    windows: int = 12
    parts: int = 2  # tasks for each window, which share its scenes
    processes: int = 2
    threads: int = 2  # of each process
    left_out: int = 2
    fused: bool = True

    @property
    def tasks(self) -> int:
        """Of each pass."""
        return self.windows * self.parts

    @property
    def passes(self) -> list[str]:
        return ["+".join(STAGES)] if self.fused else STAGES


SMALL = Shape()
LARGE = Shape(scenes=5000, windows=400, parts=50, processes=4, threads=4, left_out=40)


def make_run_folder(folder: Path, shape: Shape = SMALL, status: str = "COMPLETED", prefix: str = PREFIX) -> Path:
    """A folder of a run with this status; what a run so ended has not written is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = input_rows(shape, prefix)
    pq.write_table(pa.Table.from_pylist(inputs, schema=INPUTS), folder / "inputs.parquet", compression="zstd")
    trace = trace_rows(shape) if status != "KILLED" else []
    if status in ("FAILED", "INTERRUPTED"):
        trace = cut_short(trace, failed=status == "FAILED")
    if trace:
        pq.write_table(pa.Table.from_pylist(trace, schema=TRACE), folder / "trace.parquet", compression="zstd")
    outputs = write_outputs(folder, shape, inputs) if status == "COMPLETED" else []
    facts = run_facts(shape, status, inputs, trace, outputs)
    (folder / "run.json").write_text(json.dumps(facts, indent=1))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events(status)))
    return folder


# --- inputs ---------------------------------------------------------------------------------------------------------

INPUTS = pa.schema(
    {
        "href": pa.string(), "scene": pa.string(), "datetime": TIME, "used": pa.bool_(), "reason": pa.string(),
        "size": pa.int64(), "etag": pa.string(), "modified": TIME, "crs": pa.string(), "height": pa.int32(),
        "width": pa.int32(), "dtype": pa.string(), "nodata": pa.float64(), "block_height": pa.int32(),
        "block_width": pa.int32(), "compression": pa.string(), "predictor": pa.int32(),
        "transform": pa.list_(pa.float64()),
    }
)  # fmt: skip


def input_rows(shape: Shape, prefix: str) -> list[dict[str, Any]]:
    rows = []
    for at in range(shape.scenes + shape.left_out):
        used = at < shape.scenes
        date = FIRST_SCENE + timedelta(days=6 * at)
        scene = f"S1{'AB'[at % 2]}_{date:%Y%m%d}_10TET_{('ASC', 'DSC')[at % 3 == 0]}"
        rows.append(
            {
                "href": f"{prefix}{scene}/Gamma0_VV.tif",
                "scene": scene,
                "datetime": date,
                "used": used,
                "reason": None if used else f"beyond source.limit={shape.scenes}",
                "size": 58_000_000 + 137_911 * (at * 37 % 101),
                "etag": f'"{hashlib.md5(scene.encode()).hexdigest()}-8"',
                "modified": date + timedelta(days=1),
            }
        )
        if used:
            rows[-1] |= {
                "crs": "EPSG:32610", "height": shape.height, "width": shape.width, "dtype": "float32", "nodata": 0.0,
                "block_height": 512, "block_width": 512, "compression": "deflate", "predictor": 3,
                "transform": [20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0],
            }  # fmt: skip
    return rows


# --- tasks ----------------------------------------------------------------------------------------------------------

TRACE = pa.schema(
    {
        "pass": pa.string(), "stages": pa.string(), "task": pa.int32(), "attempt": pa.int16(), "status": pa.string(),
        "error": pa.string(), "worker": pa.string(), "host": pa.string(), "pid": pa.int32(), "thread": pa.int64(),
        "start": TIME, "stop": TIME, "row": pa.int32(), "column": pa.int32(), "height": pa.int32(), "width": pa.int32(),
        "first_scene": pa.int32(), "stop_scene": pa.int32(), "fetch_seconds": pa.float64(),
        "decode_seconds": pa.float64(), "reduce_seconds": pa.float64(), "bytes": pa.int64(), "requests": pa.int64(),
        "retries": pa.int64(), "peak_bytes": pa.int64(), "pixels": pa.int64(), "valid": pa.int64(),
    }
)  # fmt: skip


def trace_rows(shape: Shape) -> list[dict[str, Any]]:
    """The tasks of all passes; each pass begins when the one before has ended, with workers of its own."""
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(shape.passes):
        ended = max((row["stop"] for row in rows), default=STARTED + timedelta(seconds=LISTED))
        began = (ended - STARTED).total_seconds() + START_SECONDS
        rows += pass_rows(shape, name, began, first_pid=7000 + 10 * number)
    return rows


def pass_rows(shape: Shape, name: str, began: float, first_pid: int) -> list[dict[str, Any]]:
    """Tasks in their order, each on the thread that is free first."""
    random = np.random.default_rng(7)
    free = [(began, thread) for thread in range(shape.processes * shape.threads)]
    rows = []
    edges = np.linspace(0, shape.height, shape.windows + 1).astype(int)
    runs = np.linspace(0, shape.scenes, shape.parts + 1).astype(int)
    peaks = [310_000_000] * shape.processes
    for task in range(shape.tasks):
        window, part = divmod(task, shape.parts)
        scenes = int(runs[part + 1] - runs[part])
        fetch, decode, reduce = random.gamma(8, 1 / 8, 3) * (0.012, 0.06, 0.016) * scenes
        start, thread = free[0]
        process = thread // shape.threads
        heapreplace(free, (start + fetch + decode + reduce + 0.004, thread))
        peaks[process] += int(random.integers(0, 9_000_000) * 24 / shape.tasks)
        pixels = int(edges[window + 1] - edges[window]) * shape.width * scenes
        rows.append(
            {
                "pass": name, "stages": name.replace("+", ","), "task": task, "attempt": 1, "status": "done",
                "worker": f"tcp://127.0.0.1:{41000 + process}", "host": "compute-1", "pid": first_pid + process,
                "thread": 140_000_000_000_000 + 4096 * thread, "start": STARTED + timedelta(seconds=start),
                "stop": STARTED + timedelta(seconds=start + fetch + decode + reduce), "row": int(edges[window]),
                "column": 0, "height": int(edges[window + 1] - edges[window]), "width": shape.width,
                "first_scene": int(runs[part]), "stop_scene": int(runs[part + 1]), "fetch_seconds": float(fetch),
                "decode_seconds": float(decode), "reduce_seconds": float(reduce),
                "bytes": int(scenes * 4_850_000 * random.uniform(0.9, 1.1)), "requests": scenes,
                "retries": int(random.random() < 0.1), "peak_bytes": peaks[process], "pixels": pixels,
                "valid": int(pixels * 0.93),
            }
        )  # fmt: skip
    return rows


def cut_short(trace: list[dict[str, Any]], *, failed: bool) -> list[dict[str, Any]]:
    """The trace of a run that ended in its last pass; where it failed, a task did so three times and one was lost."""
    trace = trace[: -(len(trace) // 5)]
    if not failed:
        return trace
    last = trace[-1]
    took = last["stop"] - last["start"]
    lost = {"status": "failed", "error": ERROR["message"], "bytes": None, "valid": None}
    again = [
        {
            **last,
            **lost,
            "attempt": attempt,
            "start": last["start"] + (attempt - 1) * took,
            "stop": last["start"] + attempt * took,
        }
        for attempt in (1, 2, 3)
    ]
    gone = dict.fromkeys(TRACE.names) | {name: last[name] for name in ("pass", "stages", "worker")}
    gone |= {"attempt": 1, "status": "failed", "error": "lost with its worker", "stop": last["start"]}
    return [*trace[:-1], *again, gone]


# --- outputs --------------------------------------------------------------------------------------------------------


def write_outputs(folder: Path, shape: Shape, inputs: list[dict[str, Any]]) -> list[str]:
    """Tables and rasters, and outputs.json; their names."""
    land = draw_landscape(shape.width, shape.height, seed=1, threads=2)
    seen = np.full((shape.height, shape.width), shape.scenes, np.int32)
    rows, columns = np.indices(seen.shape) / max(seen.shape)
    seen -= (shape.scenes * np.clip(1.2 * (columns + 0.4 * rows - 0.75), 0, 1)).astype(np.int32)
    seen[rows + 2 * columns < 0.25] = 0
    mean = np.where(seen > 0, land.still * np.random.default_rng(5).gamma(60, 1 / 60, seen.shape), np.nan)
    values = scene_values(shape)
    write_scene_table(folder / "spatial_mean.parquet", [row for row in inputs if row["used"]], values)
    rasters = {"mean": mean.astype(np.float32), "count": seen}
    grid = Grid("EPSG:32610", "EPSG:32610", (20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0), shape.height, shape.width)
    for name, array in rasters.items():
        tags = {**ORIGIN, "stage": "temporal_mean", "statistic": name, "units": UNITS.get(name, "")}
        write_raster(folder / f"temporal_{name}.tif", array, grid, OutputSettings(), tags)
    files = [
        output_facts(folder / "spatial_mean.parquet", "spatial_mean", "space", values),
        *(
            output_facts(folder / f"temporal_{name}.tif", "temporal_mean", "time", {name: rasters[name]})
            for name in rasters
        ),
    ]
    (folder / "outputs.json").write_text(json.dumps({"schema": 1, "files": files}, indent=1))
    return [file["name"] for file in files]


UNITS = {"mean": "gamma0, linear power", "std": "gamma0, linear power"}
ORIGIN = {
    "software": "cog-stack-runner 0.1.0",
    "source": f"{PREFIX}**/Gamma0_VV.tif",
    "mask": "nodata",
    "inputs_sha256": "ab" * 32,
}


def scene_values(shape: Shape) -> dict[str, np.ndarray]:
    """The spatial statistics; of every eighth scene a third is missing, of the fifth all."""
    random = np.random.default_rng(3)
    at = np.arange(shape.scenes)
    fraction = np.where(at % 8 == 2, 0.62, 0.995) - 0.004 * random.random(shape.scenes)
    mean = 0.135 + 0.025 * np.sin(2 * np.pi * at / 61) + 0.004 * random.standard_normal(shape.scenes)
    std = 0.6 * mean + 0.001 * random.standard_normal(shape.scenes)
    for values in (mean, std):
        values[at == 4] = np.nan
    fraction[at == 4] = 0
    count = np.rint(fraction * shape.height * shape.width).astype(np.int64)
    return {"mean": mean, "std": std, "count": count, "valid_fraction": count / (shape.height * shape.width)}


def write_scene_table(path: Path, rows: list[dict[str, Any]], values: dict[str, np.ndarray]) -> None:
    columns = {
        "stack": pa.array(["demo"] * len(rows)),
        **{
            name: pa.array([row[name] for row in rows], INPUTS.field(name).type)
            for name in ("scene", "href", "datetime")
        },
        **{name: pa.array(array, mask=np.isnan(array)) for name, array in values.items()},
    }
    fields = [
        pa.field(name, array.type, metadata={"units": UNITS[name]} if name in UNITS else None)
        for name, array in columns.items()
    ]
    schema = pa.schema(fields, metadata={"cog_stack_runner": json.dumps(ORIGIN)})
    pq.write_table(pa.Table.from_arrays(list(columns.values()), schema=schema), path)


def output_facts(path: Path, stage: str, over: str, values: dict[str, np.ndarray]) -> dict[str, Any]:
    return {
        "name": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "stage": stage,
        "over": over,
        "values": [
            {
                "name": name, "sha256": hashlib.sha256(array.tobytes()).hexdigest(), "dtype": array.dtype.name,
                "shape": list(array.shape), "nodata": 0 if array.dtype.kind == "i" else "nan",
                "count": there.size, "min": float(there.min()), "max": float(there.max()),
            }
            for name, array, there in ((name, array, array[not_missing(array, over)]) for name, array in values.items())
        ],
    }  # fmt: skip


def not_missing(values: np.ndarray, over: str) -> np.ndarray:
    return values != 0 if over == "time" and values.dtype.kind == "i" else np.isfinite(values)


# --- the record -----------------------------------------------------------------------------------------------------

ERROR = {
    "kind": "ReadError",
    "message": f"{PREFIX}S1B_20200205_10TET_ASC/Gamma0_VV.tif: bytes 41943040 to 47185920 did not come: 503 Slow Down, "
    "10 attempts in 61.4 s; wait and resume, or lower fetch.in_flight",
    "pass": "+".join(STAGES),
    "stages": STAGES,
    "scene": f"{PREFIX}S1B_20200205_10TET_ASC/Gamma0_VV.tif",
    "block": {"row": 160, "column": 0, "height": 26, "width": 300, "start": 0, "stop": 10},
}
EXIT_CODES = {"COMPLETED": 0, "FAILED": 1, "INTERRUPTED": 130}


def run_facts(
    shape: Shape, status: str, inputs: list[dict[str, Any]], trace: list[dict[str, Any]], outputs: list[str]
) -> dict[str, Any]:
    over = status != "KILLED"
    last = max((row["stop"] for row in trace), default=STARTED + timedelta(seconds=7.3))
    ended = last + timedelta(seconds=0.9)
    used = [row for row in inputs if row["used"]]
    begun = shape.passes if over else shape.passes[:1]
    rows = trace if status == "COMPLETED" else trace_rows(shape)
    passes = [pass_facts(shape, name, [row for row in rows if row["pass"] == name]) for name in begun]
    if status != "COMPLETED":
        passes[-1] |= dict.fromkeys(UNKNOWN_UNTIL_ITS_END)
    interrupted = {
        **dict.fromkeys(("pass", "scene", "block")),
        "stages": [],
        "kind": "Interrupted",
        "message": "stopped by signal 2",
    }
    return {
        "schema": 2,
        "status": status if over else "RUNNING",
        "exit_code": EXIT_CODES.get(status),
        "error": {"FAILED": ERROR, "INTERRUPTED": interrupted}.get(status),
        "started": stamp(STARTED),
        "ended": stamp(ended) if over else None,
        "heartbeat": stamp(ended),
        "seconds": round((ended - STARTED).total_seconds(), 3),
        "command": ["runner", f"source.limit={shape.scenes}", "output.dir=x"],
        "overrides": [f"source.limit={shape.scenes}", "gdal=cloud", "output.dir=x"],
        "config": {"action": "run", "source": {"name": "demo", "url": ORIGIN["source"], "limit": shape.scenes}},
        "config_sha256": "cd" * 32,
        "code": {"commit": "20776ebe9574f8d5a10d560b4d2c0c66d9bcf8fc", "dirty": False, "diff": None, "diff_cut": False},
        "python": "3.11.7",
        "platform": "Linux-6.1-x86_64",
        "versions": {"cog-stack-runner": "0.1.0", "numpy": "2.4.6", "rasterio": "1.4.4", "GDAL": "3.10.3"},
        "host": "compute-1",
        "pid": 6990,
        "cores": 4,
        "memory_bytes": 16_000_000_000,
        "cgroup": {"memory_limit_bytes": 8_000_000_000, "cpu_limit": 4.0},
        "dask": {"distributed.worker.memory.terminate": 0.95},
        "kernels": "3",
        "phases": {"listing_seconds": LISTED, "writing_seconds": 0.5 if outputs else None, "report_seconds": None},
        "stack": {
            "name": "demo", "scenes": len(used), "left_out": len(inputs) - len(used), "height": shape.height,
            "width": shape.width, "dtype": "float32", "nodata": 0.0, "crs": "EPSG:32610",
            "transform": [20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0], "first_datetime": stamp(used[0]["datetime"]),
            "last_datetime": stamp(used[-1]["datetime"]), "units": "gamma0, linear power",
        },
        "passes": passes,
        "outputs": outputs,
        "rerun_of": None,
        "resumed_from": None,
    }  # fmt: skip


UNKNOWN_UNTIL_ITS_END = (
    "fetched", "compute_seconds", "read_seconds", "reduce_seconds", "cpu_seconds", "workers_lost",
    "megabytes_per_second", "peak_bytes",
)  # fmt: skip


def pass_facts(shape: Shape, name: str, trace: list[dict[str, Any]]) -> dict[str, Any]:
    totals = {name: sum(row[name] or 0 for row in trace) for name in ("bytes", "requests", "retries")}
    seconds = (max(row["stop"] for row in trace) - min(row["start"] for row in trace)).total_seconds()
    return {
        "name": name,
        "stages": name.split("+"),
        "cluster": {
            "kind": "processes",
            "n_workers": shape.processes,
            "threads": shape.processes * shape.threads,
            "address": None,
            "dashboard": None,
        },
        "chunks": {"time": shape.scenes // shape.parts, "y": shape.height // shape.windows, "x": shape.width},
        "tasks": shape.tasks,
        "planned": {
            "requests": shape.scenes * shape.windows,
            "stored_bytes": shape.scenes * shape.windows * 4_850_000,
            "decoded_bytes": shape.scenes * shape.height * shape.width * 4,
            "over_read": 1.0,
            "worker_bytes": 480_000_000,
        },
        "fetched": totals,
        "start_seconds": START_SECONDS,
        "compute_seconds": round(seconds, 3),
        "read_seconds": round(sum(row["fetch_seconds"] + row["decode_seconds"] for row in trace), 3),
        "reduce_seconds": round(sum(row["reduce_seconds"] for row in trace), 3),
        "cpu_seconds": round(sum(row["decode_seconds"] + row["reduce_seconds"] for row in trace), 3),
        "workers_lost": 0,
        "megabytes_per_second": round(totals["bytes"] / 1e6 / seconds, 1),
        "peak_bytes": sum({row["pid"]: row["peak_bytes"] for row in trace}.values()),
        "gdal_options": {
            f"worker {at}": {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": "5"}
            for at in range(shape.processes)
        },
    }


def events(status: str) -> list[dict[str, Any]]:
    found = [("INFO", "20 scenes, 2 left out, 1.40 s", 1.4), ("WARNING", "503 Slow Down, tried again in 0.4 s", 3.1)]
    if status == "FAILED":
        found.append(("ERROR", "failed", 9.0))
    return [
        {
            "time": stamp(STARTED + timedelta(seconds=after)),
            "level": level,
            "logger": "runner.job",
            "event": said,
            "exception": None,
        }
        for level, said, after in found
    ]


def stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
