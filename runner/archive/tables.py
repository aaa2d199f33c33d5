"""One table of all stacks for each stage over space, with the columns that the stacks are parted by in front."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from runner.archive.stack_jobs import advice_on
from runner.errors import RecordError
from runner.output.arrow import column
from runner.output.geoparquet import GEOMETRY, described
from runner.output.names import group_pattern, output_names
from runner.output.results import software
from runner.output.table import free_name, write_table
from runner.record.stacks import FOLDER
from runner.settings import JobSettings, Layout, Over

Values = Mapping[str, str | None]


def write_tables(job: JobSettings, folder: Path, stacks: Mapping[str, Values]) -> list[str]:
    """Write the tables of these stacks, by their names, in their order; the names of the files.

    Raises OutputError, and RecordError for a stack whose own table cannot be read.
    """
    stages = {stage: settings.statistics for stage, settings in job.stages.items() if settings.over.makes_table}
    names = []
    for stage, table in combined_tables(folder, job.source.parted_by, stages, stacks):
        names.append(f"{stage}.parquet")
        write_table(folder / names[-1], table)
    return names


def raster_names(job: JobSettings) -> list[str]:
    """The rasters that each stack has in its folder; of groups, a pattern of their names."""
    return [
        name
        for stage, settings in job.stages.items()
        if settings.over is Over.time
        for name in (
            [group_pattern(stage, statistic) for statistic in settings.statistics]
            if settings.grouped_by and job.output.layout is Layout.files
            else output_names(stage, settings.over, settings.statistics, job.output.layout)
        )
    ]


def combined_tables(
    folder: Path, stack_by: Sequence[str], stages: Mapping[str, Sequence[str]], stacks: Mapping[str, Values]
) -> Iterator[tuple[str, pa.Table]]:
    """The table of each stage over space, of which `stages` has the statistics, made of those of the stacks.

    Raises RecordError for a stack whose own table cannot be read.
    """
    for stage, statistics in stages.items() if stacks else ():
        columns = [free_name(group, statistics) for group in stack_by]
        tables = [
            _of_stack(
                folder / FOLDER / stack / f"{stage}.parquet",
                stack,
                dict(zip(columns, values.values(), strict=True)),
            )
            for stack, values in stacks.items()
        ]
        yield stage, _together(tables, stack_by, stage)


def _of_stack(path: Path, stack: str, parted: Values) -> pa.Table:
    """The table of a stack: the groups that it was parted by, its name, and the rest. Raises RecordError."""
    try:
        with pq.ParquetFile(path) as stored:
            table = stored.read()
    except (OSError, pa.ArrowException) as error:
        raise RecordError(
            f"{path} cannot be read: {error}; it was removed or altered; {advice_on(path.parent)}"
        ) from error
    rows = table.num_rows
    front = {name: column([value] * rows, pa.string()) for name, value in parted.items()}
    front["stack"] = column([stack] * rows, pa.string())
    others = [name for name in table.column_names if name not in front]
    fields = [pa.field(name, pa.string()) for name in front] + [table.schema.field(name) for name in others]
    return pa.Table.from_arrays([*front.values(), *(table[name] for name in others)], schema=pa.schema(fields))


def _together(tables: Sequence[pa.Table], stack_by: Sequence[str], stage: str) -> pa.Table:
    """All rows. A column that a stack lacks is null there. Raises RecordError for tables of other types."""
    facts = {"software": software(), "stage": stage, "stack_by": list(stack_by)}
    try:
        whole = pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise RecordError(
            f"{FOLDER}/*/{stage}.parquet: their columns do not fit together: {error}; one of them was altered, which "
            "log verify names; remove the folder of its stack, and resume the archive"
        ) from error
    whole = whole.replace_schema_metadata({"cog_stack_runner": json.dumps(facts, sort_keys=True)})
    return described(whole) if GEOMETRY in whole.column_names else whole  # not if all are of an earlier version
