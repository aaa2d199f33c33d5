"""Lines and tables for the console: passes that have run, and what came out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from runner.base.console import results_are_hidden, say, show_table, table
from runner.base.humanize import plural, relative_path, size
from runner.model import Inputs
from runner.output.digest import FileFacts, ValueFacts
from runner.output.names import group_pattern, raster_files
from runner.planning.records import StagePlan
from runner.record.run import PassRecord
from runner.settings import Layout
from runner.summary.inputs import describe_skipped
from runner.summary.plan import statistic_labels

_WORTH_SAYING = 0.05  # seconds


def describe_compiling(what: str | None = None) -> str:
    """One line for a run whose kernels must be compiled; `what` they are for, if that is known."""
    return f"compiling{f' for {what}' if what else ''}, which takes some seconds once; later runs find it on disk"


def describe_pass(pass_: PassRecord) -> str:
    """One line: how long a pass took, on what, and what it fetched."""
    fetched = pass_.fetched
    cluster = f"{pass_.cluster.kind}, {plural(pass_.cluster.threads, 'thread')}"
    amount = f", {size(fetched.bytes)} in {plural(fetched.requests, 'request')}" if fetched else ""
    retried = f", {fetched.retries} retried" if fetched and fetched.retries else ""
    compiling = pass_.compile_seconds or 0.0
    more = f", and {compiling:.1f} s of compiling" if compiling >= _WORTH_SAYING else ""
    return f"{pass_.name}: {(pass_.compute_seconds or 0.0) - compiling:.1f} s ({cluster}){amount}{retried}{more}"


def describe_beyond(
    beyond: Iterable[tuple[str, str]],
    raster: np.dtype,
    layout: Layout = Layout.files,
    grouped: Collection[str] = (),
) -> list[str]:
    """A line for each raster, by stage and statistic, whose type is too narrow for a value of it.

    Of the `grouped` stages, a line for the rasters of all groups.
    """

    def file(stage: str, statistic: str) -> str:
        if layout is Layout.files and stage in grouped:
            return group_pattern(stage, statistic)
        return next(iter(raster_files(stage, [statistic], layout)))

    return [
        f"{file(*one)}: some values are beyond {raster} and infinite in the file; output.raster_dtype=float64 holds "
        "them"
        for one in sorted(beyond)
    ]


def describe_no_decibels(counts: Mapping[tuple[str, str], int]) -> list[str]:
    """A line for each statistic with values that have no decibels, by stage."""
    return [
        f"{stage}: {plural(count, 'value')} of {statistic} {'is' if count == 1 else 'are'} 0 or negative and have no "
        "decibels, so that they are missing; output.scale=linear keeps them"
        for (stage, statistic), count in sorted(counts.items())
        if count
    ]


def result_rows(stage: StagePlan, files: Sequence[FileFacts]) -> list[list[str]]:
    """Lowest and highest value of each statistic of a stage, of all groups together, for `show_results`."""
    by_name: dict[str, list[ValueFacts]] = {}
    for value in (value for file in files for value in file.values):
        by_name.setdefault(value.name, []).append(value)
    groups = f", {plural(len(stage.groups.labels), 'group')}" if stage.groups else ""
    return [
        [
            f"{stage.name}: {label}{groups}",
            _number(min((value.minimum for value in by_name[name] if value.minimum is not None), default=None)),
            _number(max((value.maximum for value in by_name[name] if value.maximum is not None), default=None)),
            _missing(by_name[name]),
        ]
        for name, label in zip(stage.statistics, statistic_labels(stage), strict=True)
    ]


def files_shown(stage: StagePlan, files: Sequence[FileFacts]) -> list[str]:
    """The files of a stage as they are shown: of the groups of a statistic the first, and how many there are."""
    paths = [relative_path(file.path) for file in files]
    groups = len(stage.groups.labels) if stage.groups else 1
    if groups == 1 or len(paths) == 1:  # bands of one file
        return [f"{path}" for path in paths]
    firsts = range(0, len(paths), groups)
    return [f"{paths[first]} to {Path(paths[first + groups - 1]).name}, {groups} rasters" for first in firsts]


def show_results(rows: list[list[str]], inputs: Inputs, files: list[str]) -> None:
    """Print what came out, and the files it is in."""
    if results_are_hidden():
        return
    show_table(table("", ["result", "lowest", "highest", "no data"], rows))
    left_out = sum(not item.beyond_limit for item in inputs.left_out)
    if left_out:
        say(f"{plural(left_out, 'object')} left out, each with its reason in inputs.parquet")
    for line in describe_skipped(inputs):
        say(line)
    for shown in files:
        say(f"wrote {shown}")


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value}" if isinstance(value, int) else f"{value:.6g}"


def _missing(rasters: Sequence[ValueFacts]) -> str:
    present, cells = sum(values.count for values in rasters), sum(prod(values.shape) for values in rasters)
    return f"{100 * (1 - present / cells):.1f} %"
