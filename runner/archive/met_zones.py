"""The zones of an archive: those that no stack has, and those that stacks of several grids have."""

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from runner.base.humanize import plural
from runner.planning.zones import named_zones
from runner.record.run import ZonesRecord
from runner.record.stacks import StackRow
from runner.settings import JobSettings, Over
from runner.source.outlines import has_zones, typed_file
from runner.source.stores import Stores
from runner.source.zone_files import read_features

_ROWS: Final = 2**20  # that are read at once
_MOST_RECORDED: Final = 100  # names

Name = str | int | float


def zone_names(job: JobSettings, stores: Stores) -> list[Name]:
    """The names of all zones of a job; none without a stage over zones.

    Raises ConfigError or SourceError for a file that cannot be used.
    """
    return list(read_features(job.zones, stores).names.tolist()) if has_zones(job) else []


def met_zones(names: Sequence[Name], stacks: Iterable[tuple[Hashable, Iterable[Name]]]) -> ZonesRecord:
    """How many zones are in none of the stacks, each of which has a grid and zones, and how many on several grids."""
    grids: dict[Name, Hashable] = {}
    several: set[Name] = set()
    for grid, zones in stacks:
        several.update(zone for zone in zones if grids.setdefault(zone, grid) != grid)
    unmet = [str(name) for name in names if name not in grids]
    return ZonesRecord(len(names), len(unmet), len(several), tuple(unmet[:_MOST_RECORDED]))


def written_zones(job: JobSettings, folder: Path, names: Sequence[Name], rows: Iterable[StackRow]) -> ZonesRecord:
    """The zones that complete stacks have, by the table of all stacks of the first stage over zones."""
    stage = next(name for name, settings in job.stages.items() if settings.over is Over.zones)
    columns, of_stacks = ["stack", "zone"], dict[str, set[Name]]()
    with pq.ParquetFile(folder / f"{stage}.parquet", read_dictionary=columns) as file:
        for batch in file.iter_batches(_ROWS, columns=columns, use_threads=False):
            pairs = pa.Table.from_batches([batch]).group_by(columns, use_threads=False).aggregate([])
            for row in pairs.to_pylist():
                of_stacks.setdefault(row["stack"], set()).add(row["zone"])
    return met_zones(names, ((_grid(row), of_stacks[row.stack]) for row in rows if row.stack in of_stacks))


def _grid(row: StackRow) -> Hashable:
    """What tells the grids of stacks apart; a stack without a place has one of its own."""
    return (row.crs, row.west, row.south, row.east, row.north, row.height, row.width) if row.crs else row.stack


def describe_met_zones(job: JobSettings, zones: ZonesRecord) -> list[str]:
    """A line on zones that no stack has, and on those that lie on several grids; none if there are no such zones."""
    lines = []
    if zones.in_no_stack:
        verb, has = ("lies", "has") if zones.in_no_stack == 1 else ("lie", "have")
        stacks = f"no stack of shard {job.archive.shard}" if job.archive.shard else "no stack"
        of_all = f"{zones.in_no_stack} of {plural(zones.zones, 'zone')} {verb} in {stacks} and {has} no rows"
        lines.append(f"{of_all}: {named_zones(zones.names_in_no_stack, zones.in_no_stack)}")
    if zones.on_several_grids:
        verb, has = ("lies", "has") if zones.on_several_grids == 1 else ("lie", "have")
        lines.append(f"{zones.on_several_grids} {verb} on the grids of several stacks and {has} rows of each")
    return [f"{typed_file(job, 'zones.file')}: {'; '.join(lines)}"] if lines else []
