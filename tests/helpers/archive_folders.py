"""Folders of archives, however they ended, written by the writers themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from jobs import compose
from msgspec.structs import replace as changed
from run_folders import SMALL, Shape, made_inputs, made_run, made_trace, make_run_folder

from runner.archive.rows import StackTable, row_of
from runner.archive.tables import write_tables
from runner.output.inputs import write_left_out
from runner.output.table import write_table
from runner.record.run import Failure, Run
from runner.record.run_folder import read_run
from runner.record.run_record import write_run
from runner.record.stacks import FOLDER, StackRow
from runner.source.parts import Part

STACK_BY = ("tile", "band")
STAGES = {
    "spatial_mean": {"over": "space", "statistics": ["mean", "std", "count", "valid_fraction"]},
    "temporal_mean": {"over": "time", "statistics": ["mean", "count"]},
}
TINY = replace(SMALL, scenes=4, height=32, width=48, windows=3, parts=2, processes=1, left_out=0)


def part_of(tile: str, band: str) -> Part:
    return Part(f"{tile}_{band}", {"tile": tile, "band": band}, ())


def make_archive_folder(folder: Path, stacks: dict[str, str], shape: Shape = TINY) -> Path:
    """An archive of stacks by TILE_BAND, each with its status: its runs, its tables, its record."""
    folder.mkdir(parents=True)
    rows = []
    for name, status in stacks.items():
        part = part_of(*name.split("_"))
        if status == "WAITING":
            rows.append(StackRow(stack=name, values=part.values))
            continue
        path = with_stages(make_run_folder(folder / FOLDER / name, shape, status))
        rows.append(row_of(part, status, read_run(path).record, path))
    table = StackTable(folder, STACK_BY, rows)
    table.write()
    job = compose("source=local", "source.url=/data", f"source.stack_by=[{','.join(STACK_BY)}]")
    spatial = replace(job.stages["spatial_mean"], statistics=list(STAGES["spatial_mean"]["statistics"]))
    complete = {row.stack: row.values for row in rows if row.status == "COMPLETED"}
    write_tables(replace(job, stages={"spatial_mean": spatial}), folder, complete)
    write_left_out(folder / "inputs.parquet", ())
    write_run(folder / "run.json", made_archive(table, shape))
    return folder


def with_stages(folder: Path) -> Path:
    """The folder of a run, whose config has its stages."""
    run = read_run(folder).record
    write_run(folder / "run.json", changed(run, config={**run.config, "stages": STAGES}))
    return folder


def made_archive(table: StackTable, shape: Shape = TINY) -> Run:
    """The record of an archive with these stacks."""
    statuses = Counter(row.status for row in table.rows)
    status = "FAILED" if statuses["FAILED"] else "INTERRUPTED" if statuses["WAITING"] else "COMPLETED"
    run = made_run(shape, "COMPLETED", made_inputs(shape, "s3://b/"), made_trace(shape), ())
    source = {**run.config["source"], "stack_by": list(STACK_BY)}
    return changed(
        run,
        status=status,
        exit_code={"COMPLETED": 0, "FAILED": 1, "INTERRUPTED": 130}[status],
        error=Failure("ArchiveError", "1 stack failed: 10TET_VH: it is short") if status == "FAILED" else None,
        archive=table.summed_up(),
        stack=None,
        passes=(),
        config={**run.config, "source": source, "stages": STAGES},
        outputs=("stacks.parquet", *(["spatial_mean.parquet"] if statuses["COMPLETED"] else [])),
    )


def make_large_archive(folder: Path, rows: Sequence[StackRow], table: pa.Table) -> Path:
    """An archive of many stacks, without their folders."""
    folder.mkdir(parents=True)
    stacks = StackTable(folder, STACK_BY, rows)
    stacks.write()
    write_table(folder / "spatial_mean.parquet", table)
    write_left_out(folder / "inputs.parquet", ())
    write_run(folder / "run.json", made_archive(stacks))
    return folder
