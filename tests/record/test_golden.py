"""What runs of this version write, in text: the folder `golden`, as every reader expects it.

A change of the format shows as a change of these files: `python tests/record/test_golden.py` writes them anew.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runner.log.ls import read_entry, rows
from runner.log.show import how_it_ended, what_it_was
from runner.output import inputs
from runner.output.digest import FileFacts, ValueFacts
from runner.planning.records import StagePlan
from runner.record import trace_table
from runner.record.outputs import StageFiles, write_outputs
from runner.record.run import (
    ArchiveRecord,
    Attempt,
    Cluster,
    Code,
    ControlGroup,
    Failure,
    Fetched,
    Inflated,
    PassRecord,
    Planned,
    Run,
    StackRecord,
    TaskExtent,
    TaskSize,
    ZonesRecord,
)  # fmt: skip
from runner.record.run_files import read_outputs
from runner.record.run_folder import read_run
from runner.record.run_record import write_run
from runner.report.gather import read_folder
from runner.settings import Over

GOLDEN = Path(__file__).with_name("golden")
NAMES = ("run.json", "outputs.json", "columns.json")
HREF = "s3://bucket/lake/2020/S1A_20200106.tif"


def at(second: int) -> datetime:
    return datetime(2026, 3, 2, 14, 5, second, 250000, UTC)


PASS = PassRecord(
    name="spatial_mean+temporal_mean",
    cluster=Cluster("processes", 2, 4, "tcp://127.0.0.1:8786", "http://127.0.0.1:8787/status"),
    chunks=TaskSize(time=4, y=512, x=256),
    tasks=6,
    stages=("spatial_mean", "temporal_mean"),
    weights={"spatial_mean": "area", "temporal_mean": "none"},
    planned=Planned(48, 80_000_000, 160_000_000, 1.25, 500_000_000, 5_000_000, 12),
    gdal_options={"tcp://127.0.0.1:8787": {"GDAL_HTTP_MAX_RETRY": "5", "GDAL_CACHEMAX": None}},
    start_seconds=0.75,
    reused=2,
    fetched=Fetched(48, 80_000_000, 3, 0.5),
    again=Fetched(4, 8_000_000, 0, 0.25),
    inflated=Inflated(120000000, 0.1, 40000000, 0.05, 12),
    compute_seconds=2.5,
    read_seconds=4.5,
    reduce_seconds=1.5,
    compile_seconds=0.5,
    megabytes_per_second=40.0,
    peak_bytes=450_000_000,
    cpu_seconds=6.25,
    workers_lost=1,
)
ATTEMPT: dict[str, Any] = {
    "started": at(9),
    "heartbeat": at(21),
    "ended": at(21),
    "seconds": 12.0,
    "exit_code": 1,
    "error": Failure(
        "ReadError", f"{HREF}: 503", PASS.name, PASS.stages, HREF, TaskExtent(512, 0, 512, 256, start=0, stop=4)
    ),
    "command": ("cog-stack-runner", "--config-dir", "my conf", "chunks=row"),
    "overrides": ("chunks=row",),
    "config_sha256": "cd" * 32,
    "kernels": "2",
    "host": "compute-1",
    "pid": 6990,
    "passes": (PASS,),
}
ZONES = ZonesRecord(9, 2, 1, ("north", "south"))
RUN = Run(
    status="FAILED",
    **ATTEMPT,
    config_flags=("--config-dir", "my conf"),
    config={"source": {"name": "lake", "url": "s3://bucket/lake/**/*.tif"}, "chunks": {"y": 512}, "mask": None},
    versions={"cog-stack-runner": "0.1.0", "numpy": "2.4.6"},
    code=Code("c0ffee", dirty=True, diff="+one = 1\n", diff_cut=False),
    python="3.11.7",
    platform="Linux-6.1-x86_64",
    cores=4,
    memory_bytes=16_000_000_000,
    cgroup=ControlGroup(8_000_000_000, 2.0),
    dask={"distributed.worker.memory.terminate": 0.95},
    phases={"listing_seconds": 1.5, "writing_seconds": None},
    stack=StackRecord(
        "lake", 4, 1, 1024, 512, "float32", "nan", "EPSG:32610", (20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0),
        datetime(2020, 1, 6, tzinfo=UTC), datetime(2020, 1, 24, tzinfo=UTC), "gamma0, linear power", 1, "0a" * 32,
        "1b" * 32, 7,
    ),
    listing=Fetched(5, 9000, 0, 0.25),
    archive=ArchiveRecord(("tile",), 3, {"COMPLETED": 2, "FAILED": 1}, 8, 160_000_000, "6e3a" * 16, "1b" * 32, ZONES),
    outputs=("spatial_mean.parquet",),
    rerun_of="outputs/2026-03-01/10-00-00_lake",
    resumed_from="outputs/2026-03-02/14-05-00_lake",
    attempts=(Attempt(status="KILLED", **{**ATTEMPT, "ended": None, "exit_code": None, "error": None}),),
)  # fmt: skip
FILE = FileFacts(
    Path("spatial_mean.parquet"), 4711, "ab" * 32, (ValueFacts("mean", "ef" * 32, "float64", (4,), "nan", 3, 0.25, 7),)
)
TABLES = {"inputs.parquet": inputs.SCHEMA, "trace.parquet": trace_table.SCHEMA}


def write(folder: Path) -> None:
    """Write the folder by the writers of runs."""
    folder.mkdir(exist_ok=True)
    write_run(folder / "run.json", RUN)
    write_outputs(folder / "outputs.json", [StageFiles(StagePlan("spatial_mean", Over.space, ("mean",)), [FILE])])
    columns = {name: {field.name: str(field.type) for field in schema} for name, schema in TABLES.items()}
    (folder / "columns.json").write_text(json.dumps(columns, indent=1) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_run_writes_is_what_its_readers_know(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    assert (tmp_path / name).read_text() == (GOLDEN / name).read_text()


def test_every_field_of_the_record_has_a_value_in_it() -> None:
    def fields(node: object) -> list[tuple[str, object]]:
        if isinstance(node, msgspec.Struct):
            found = [(name, getattr(node, name)) for name in node.__struct_fields__]
            return [*found, *(below for _, value in found for below in fields(value))]
        return [below for item in node for below in fields(item)] if isinstance(node, tuple) else []

    run = msgspec.structs.replace(RUN, attempts=())
    assert [name for name, value in fields(run) if value in (None, (), {})] == ["attempts"]


def test_the_record_and_the_list_of_outputs_are_read_as_they_were_written() -> None:
    assert read_run(GOLDEN).record == RUN
    (file,) = read_outputs(GOLDEN)
    assert (file.name, file.bytes, file.stage, file.over) == ("spatial_mean.parquet", 4711, "spatial_mean", "space")
    assert (file.values[0].minimum, file.values[0].maximum, file.values[0].shape) == (0.25, 7, (4,))


def test_it_is_listed_and_shown(tmp_path: Path) -> None:
    archive = read_entry(GOLDEN, GOLDEN.parent)
    assert archive.run is not None
    assert rows([archive])[0][2:] == ["FAILED", "2 of 3 stacks", "8", "12.0 s", "6.7", "3", "chunks=row"]
    assert dict(what_it_was(archive.run))["stacks"] == (
        "3 stacks by tile: 2 completed, 1 failed; 8 scenes, 160 MB fetched, 6.67 MB/s"
    )
    run = replace(archive.run, record=msgspec.structs.replace(archive.run.record, archive=None))
    entry = replace(archive, run=run)
    assert rows([entry])[0][2:] == ["FAILED", "lake", "4", "12.0 s", "40.0", "3", "chunks=row"]
    assert entry.run is not None
    assert how_it_ended(entry.run)[1:] == [
        "FAILED after 12.0 s, exit code 1",
        f"error: ReadError: {HREF}: 503",
        f"in pass {PASS.name}, scene {HREF}, task row 512, column 0, height 512, width 256, start 0, stop 4",
    ]
    assert archive.run is not None
    assert dict(what_it_was(archive.run))["zones"] == "9 zones, 2 of them in no complete stack: north, south"
    shown = dict(what_it_was(entry.run))
    assert shown["stack"] == (
        "lake: 4 scenes from 2020-01-06 to 2020-01-24, 1 left out, 512 x 1024 pixels float32, EPSG:32610, nodata nan"
    )
    assert shown["code"] == "cog-stack-runner 0.1.0, commit c0ffee, with uncommitted changes, kernels 2"


def test_its_page_has_its_passes_and_its_attempts() -> None:
    run = read_folder(GOLDEN).run
    (one,) = run.passes
    assert (run.status, run.lived_seconds, len(run.record.attempts)) == ("FAILED", 12.0, 1)
    assert (one.cluster, one.tasks, one.requests, one.planned_requests) == (
        "processes, 2 processes, 4 threads",
        6,
        48,
        48,
    )


if __name__ == "__main__":
    write(GOLDEN)
