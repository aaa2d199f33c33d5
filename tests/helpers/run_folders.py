"""Run folders of any size, however the run ended, written by the writers themselves."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import heapreplace
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace as changed

from runner.demo.landscape import draw_landscape
from runner.engine.trace import Place, TaskTrace, Work
from runner.model import Grid, Inputs, LeftOut, Scene, Stack, StoredObject
from runner.output.inputs import write_inputs
from runner.output.results import Destination, write_stage
from runner.planning.records import StagePlan, Task
from runner.read.header import Header, Window
from runner.read.layout import TiffLayout
from runner.read.masks import FileMask
from runner.record.outputs import StageFiles, write_outputs
from runner.record.run import (
    Cluster,
    Code,
    ControlGroup,
    Failure,
    Fetched,
    PassRecord,
    Planned,
    Run,
    TaskExtent,
    TaskSize,
)  # fmt: skip
from runner.record.run_record import write_run
from runner.record.sections import stack_record
from runner.record.trace_table import TraceLog
from runner.settings import OutputSettings, Over

STARTED = datetime(2026, 3, 2, 14, 5, 9, 250000, tzinfo=UTC)
FIRST_SCENE = datetime(2020, 1, 6, 14, 20, tzinfo=UTC)
LISTED, START_SECONDS = 1.4, 0.8  # until headers are read; until workers are there
PREFIX = "s3://demo-sentinel1-rtc/tiles/RTC/1/IW/10/T/ET/2020/"
STAGES = ("spatial_mean", "temporal_mean")
TRANSFORM = (20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0)
ORIGIN = {
    "software": "cog-stack-runner 0.1.0",
    "source": f"{PREFIX}**/Gamma0_VV.tif",
    "mask": {"own": "nodata"},
    "inputs_sha256": "ab" * 32,
}
SPATIAL = StagePlan("spatial_mean", Over.space, ("mean", "std", "count", "valid_fraction"))
TEMPORAL = StagePlan("temporal_mean", Over.time, ("mean", "count"))


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
        return ["+".join(STAGES)] if self.fused else list(STAGES)


SMALL = Shape()
LARGE = Shape(scenes=5000, windows=400, parts=50, processes=4, threads=4, left_out=40)


def make_run_folder(folder: Path, shape: Shape = SMALL, status: str = "COMPLETED", prefix: str = PREFIX) -> Path:
    """A folder of a run with this status; it lacks the files that such a run does not come to write."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = made_inputs(shape, prefix)
    write_inputs(folder / "inputs.parquet", inputs)
    trace = made_trace(shape) if status != "KILLED" else []
    if status in ("FAILED", "INTERRUPTED"):
        trace = cut_short(trace, failed=status == "FAILED")
    if trace:
        log = TraceLog(folder / "trace.parquet")
        for name, task in trace:
            log.add(name, name.split("+"), task)
        log.write()
    outputs = write_results(folder, shape, inputs.stack) if status == "COMPLETED" else ()
    write_run(folder / "run.json", made_run(shape, status, inputs, trace, outputs))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events(status)))
    return folder


# --- inputs ---------------------------------------------------------------------------------------------------------


def made_inputs(shape: Shape, prefix: str) -> Inputs:
    header = made_header(shape.height, shape.width)
    objects = [made_object(at, prefix) for at in range(shape.scenes + shape.left_out)]
    scenes = tuple(
        Scene(name, one.href, one.time, {}, one.size, one.etag, one.modified, header)
        for name, one in objects[: shape.scenes]
    )
    reason = f"beyond source.limit={shape.scenes}"
    left_out = tuple(LeftOut(one, name, one.time, reason) for name, one in objects[shape.scenes :])
    grid = Grid("EPSG:32610", "EPSG:32610", TRANSFORM, shape.height, shape.width)
    return Inputs(Stack("demo", grid, np.dtype("float32"), 0.0, "gamma0, linear power", scenes), left_out)


def made_object(at: int, prefix: str) -> tuple[str, StoredObject]:
    """A scene's name and its object."""
    date = FIRST_SCENE + timedelta(days=6 * at)
    name = f"S1{'AB'[at % 2]}_{date:%Y%m%d}_10TET_{('ASC', 'DSC')[at % 3 == 0]}"
    etag = f'"{hashlib.md5(name.encode()).hexdigest()}-8"'
    size = 58_000_000 + 137_911 * (at * 37 % 101)
    return name, StoredObject(f"{prefix}{name}/Gamma0_VV.tif", size, etag, date + timedelta(days=1), date)


def made_header(height: int, width: int) -> Header:
    none = np.zeros((1, 1, 1), np.uint64)
    layout = TiffLayout(
        byte_order="<", big=False, width=width, height=height, bands=1, dtype="float32", bits=32, sample_format=3,
        compression="deflate", predictor=3, planar="pixel", tiled=True, tile_height=512, tile_width=512,
        tiles_down=1, tiles_across=1, offsets=none, byte_counts=none, photometric=1, fill_order=1, jpeg_tables=b"",
        lerc_parameters=(), has_mask=False, extra_samples=(), overviews=0, geo_tags=(),
    )  # fmt: skip
    return Header(
        crs="EPSG:32610", epsg=32610, transform=TRANSFORM, dtype="float32", nodatas=(0.0,), fills=(0.0,), scales=(1.0,),
        offsets=(0.0,), masks=(FileMask.none,), descriptions=("",), gcps=0, layout=layout,
    )  # fmt: skip


# --- tasks ----------------------------------------------------------------------------------------------------------

Trace = list[tuple[str, TaskTrace]]  # with the pass's name


def made_trace(shape: Shape) -> Trace:
    """The tasks of all passes; each pass begins when the one before has ended, with workers of its own."""
    trace: Trace = []
    for number, name in enumerate(shape.passes):
        began = max((task.stopped for _, task in trace), default=STARTED.timestamp() + LISTED) + START_SECONDS
        trace += [(name, task) for task in pass_tasks(shape, began, first_pid=7000 + 10 * number)]
    return trace


def pass_tasks(shape: Shape, began: float, first_pid: int) -> list[TaskTrace]:
    """Tasks in their order, each on the thread that is free first."""
    random = np.random.default_rng(7)
    free = [(began, thread) for thread in range(shape.processes * shape.threads)]
    tasks = []
    edges = np.linspace(0, shape.height, shape.windows + 1).astype(int).tolist()
    ranges = np.linspace(0, shape.scenes, shape.parts + 1).astype(int).tolist()
    peaks = [310_000_000] * shape.processes
    for number in range(shape.tasks):
        window, part = divmod(number, shape.parts)
        scenes = ranges[part + 1] - ranges[part]
        fetch, decode, reduce = (random.gamma(8, 1 / 8, 3) * (0.012, 0.06, 0.016) * scenes).tolist()
        start, thread = free[0]
        process = thread // shape.threads
        heapreplace(free, (start + fetch + decode + reduce + 0.004, thread))
        peaks[process] += int(random.integers(0, 9_000_000) * 24 / shape.tasks)
        rows = Window(edges[window], 0, edges[window + 1] - edges[window], shape.width)
        fetched = int(scenes * 4_850_000 * random.uniform(0.9, 1.1))
        valid = int(rows.height * rows.width * scenes * 0.93)
        place = Place(f"tcp://127.0.0.1:{41000 + process}", None, "compute-1", first_pid + process, 4096 * thread)
        work = Work(fetch, decode, reduce, fetched, scenes, int(random.random() < 0.1), valid)
        block, stop = Task(rows, ranges[part], ranges[part + 1]), start + fetch + decode + reduce
        tasks.append(TaskTrace(number, block, place, start, stop, peaks[process], work))
    return tasks


def cut_short(trace: Trace, *, failed: bool) -> Trace:
    """The trace of a run that ended in its last pass; where it failed, a task did so three times and one was lost."""
    trace = trace[: -(len(trace) // 5)]
    if not failed:
        return trace
    name, last = trace[-1]
    took = last.stopped - last.started
    attempts = [
        replace(
            last, work=None, error=ERROR.message, started=last.started + at * took, stopped=last.stopped + at * took
        )
        for at in range(3)
    ]
    gone = TaskTrace(None, None, Place(last.place.worker, "gone"), None, last.started, error="lost with its worker")
    return [*trace[:-1], *((name, task) for task in [*attempts, gone])]


# --- outputs --------------------------------------------------------------------------------------------------------


def write_results(folder: Path, shape: Shape, stack: Stack) -> tuple[str, ...]:
    """Tables and rasters, and outputs.json; their names."""
    written = written_stages(folder, shape, stack)
    write_outputs(folder / "outputs.json", written)
    return tuple(file.path.name for one in written for file in one.files)


def written_stages(folder: Path, shape: Shape, stack: Stack) -> list[StageFiles]:
    """Tables and rasters, and what they hold."""
    land = draw_landscape(shape.width, shape.height, seed=1, threads=2)
    seen = np.full((shape.height, shape.width), shape.scenes, np.int32)
    rows, columns = np.indices(seen.shape) / max(seen.shape)
    seen -= (shape.scenes * np.clip(1.2 * (columns + 0.4 * rows - 0.75), 0, 1)).astype(np.int32)
    seen[rows + 2 * columns < 0.25] = 0
    mean = np.where(seen > 0, land.still * np.random.default_rng(5).gamma(60, 1 / 60, seen.shape), np.nan)
    values = {"spatial_mean": scene_values(shape), "temporal_mean": {"mean": mean.astype(np.float32), "count": seen}}
    return [
        StageFiles(stage, write_stage(Destination(folder, OutputSettings(), ORIGIN), stage, stack, values[stage.name]))
        for stage in (SPATIAL, TEMPORAL)
    ]


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


# --- the record -----------------------------------------------------------------------------------------------------

SCENE = f"{PREFIX}S1B_20200205_10TET_ASC/Gamma0_VV.tif"
ERROR = Failure(
    kind="ReadError",
    message=f"{SCENE}: bytes 41943040 to 47185920 did not come: 503 Slow Down, 10 attempts in 61.4 s; wait and resume, "
    "or lower fetch.in_flight",
    pass_name="+".join(STAGES),
    stages=STAGES,
    scene=SCENE,
    task=TaskExtent(row=160, column=0, height=26, width=300, start=0, stop=10),
)
EXIT_CODES = {"COMPLETED": 0, "FAILED": 1, "INTERRUPTED": 130}


def made_run(shape: Shape, status: str, inputs: Inputs, trace: Trace, outputs: tuple[str, ...]) -> Run:
    killed = status == "KILLED"
    last = max((task.stopped for _, task in trace), default=STARTED.timestamp() + 7.3)
    ended = datetime.fromtimestamp(round(last + 0.9, 3), UTC)
    tasks = trace if status == "COMPLETED" else made_trace(shape)
    names = shape.passes[:1] if killed else shape.passes
    passes = [made_pass(shape, name, [task for of, task in tasks if of == name]) for name in names]
    if status != "COMPLETED":
        passes[-1] = changed(passes[-1], **dict.fromkeys(UNKNOWN_UNTIL_ITS_END))
    overrides = (f"source.limit={shape.scenes}", "gdal=cloud", "output.dir=x")
    source = {"name": "demo", "url": ORIGIN["source"], "limit": shape.scenes}
    return Run(
        status="RUNNING" if killed else status,
        exit_code=EXIT_CODES.get(status),
        error={"FAILED": ERROR, "INTERRUPTED": Failure("Interrupted", "stopped by signal 2")}.get(status),
        started=STARTED,
        ended=None if killed else ended,
        heartbeat=ended,
        seconds=round((ended - STARTED).total_seconds(), 3),
        command=("runner", *overrides),
        overrides=overrides,
        config={"action": "run", "source": source},
        config_sha256="cd" * 32,
        code=Code("20776ebe9574f8d5a10d560b4d2c0c66d9bcf8fc"),
        python="3.11.7",
        platform="Linux-6.1-x86_64",
        versions={"cog-stack-runner": "0.1.0", "numpy": "2.4.6", "rasterio": "1.4.4", "GDAL": "3.10.3"},
        host="compute-1",
        pid=6990,
        cores=4,
        memory_bytes=16_000_000_000,
        cgroup=ControlGroup(memory_limit_bytes=8_000_000_000, cpu_limit=4.0),
        dask={"distributed.worker.memory.terminate": 0.95},
        kernels="3",
        phases={"listing_seconds": LISTED, "writing_seconds": 0.5 if outputs else None, "report_seconds": None},
        stack=stack_record(inputs),
        passes=tuple(passes),
        outputs=outputs,
    )


UNKNOWN_UNTIL_ITS_END = (
    "fetched", "compute_seconds", "read_seconds", "reduce_seconds", "cpu_seconds", "workers_lost",
    "megabytes_per_second", "peak_bytes",
)  # fmt: skip


def made_pass(shape: Shape, name: str, tasks: list[TaskTrace]) -> PassRecord:
    work = [task.work for task in tasks]
    fetched = Fetched(*(sum(getattr(one, of) for one in work) for of in ("requests", "bytes", "retries")))
    seconds = max(task.stopped for task in tasks) - min(task.started for task in tasks)
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": "5"}
    return PassRecord(
        name=name,
        stages=tuple(name.split("+")),
        cluster=Cluster("processes", shape.processes, shape.processes * shape.threads),
        chunks=TaskSize(shape.scenes // shape.parts, shape.height // shape.windows, shape.width),
        tasks=shape.tasks,
        planned=Planned(
            requests=shape.scenes * shape.windows,
            stored_bytes=shape.scenes * shape.windows * 4_850_000,
            decoded_bytes=shape.scenes * shape.height * shape.width * 4,
            over_read=1.0,
            worker_bytes=480_000_000,
        ),
        fetched=fetched,
        start_seconds=START_SECONDS,
        compute_seconds=round(seconds, 3),
        read_seconds=round(sum(one.fetch_seconds + one.decode_seconds for one in work), 3),
        reduce_seconds=round(sum(one.reduce_seconds for one in work), 3),
        cpu_seconds=round(sum(one.decode_seconds + one.reduce_seconds for one in work), 3),
        workers_lost=0,
        megabytes_per_second=round(fetched.bytes / 1e6 / seconds, 1),
        peak_bytes=sum({task.place.pid: task.peak_bytes for task in tasks}.values()),
        gdal_options={f"worker {at}": options for at in range(shape.processes)},
    )


def events(status: str) -> list[dict[str, Any]]:
    found = [("INFO", "20 scenes, 2 left out, 1.40 s", 1.4), ("WARNING", "503 Slow Down, tried again in 0.4 s", 3.1)]
    if status == "FAILED":
        found.append(("ERROR", "failed", 9.0))
    return [
        {
            "time": (STARTED + timedelta(seconds=after)).isoformat(timespec="milliseconds"),
            "level": level,
            "logger": "runner.job",
            "event": said,
            "exception": None,
        }
        for level, said, after in found
    ]
