"""Lines and tables for the console: inputs, plan, passes, results."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from runner.base.console import results_are_hidden, say, show_table, table
from runner.base.humanize import nodata, plural, relative_path, size
from runner.errors import printable
from runner.model import Inputs, Stack
from runner.output.digest import FileFacts, ValueFacts
from runner.output.names import raster_name
from runner.planning.memory import large_tiles
from runner.planning.memory_advice import REWRITE
from runner.planning.records import Pass, Plan, StagePlan
from runner.planning.weights import is_mercator
from runner.record.run import PassRecord
from runner.settings import MaskSettings, Over, SourceSettings
from runner.source.mask_files import describe_test

_AUX = ".aux.xml"
_WORTH_SAYING = 0.05  # seconds
_MOST_NAMED = 10  # of the scenes that cannot be read; all of them are in inputs.parquet


def describe_inputs(inputs: Inputs, source: SourceSettings, mask: MaskSettings | None = None) -> str:
    """One line: how many scenes, from when to when, read from which key, on which grid, and if pixels are scaled.

    It ends with the masks in files of their own.
    """
    stack = inputs.stack
    first, last = stack.scenes[0], stack.scenes[-1]
    stored = sum(scene.size for scene in stack.scenes)
    cut = sum(item.beyond_limit for item in inputs.left_out)
    of_all = f"the first {len(stack.scenes)} of {len(stack.scenes) + cut}" if cut else str(len(stack.scenes))
    scenes = "scene" if len(stack.scenes) == 1 and not cut else "scenes"
    left_out = f", {len(inputs.left_out) - cut} left out" if len(inputs.left_out) > cut else ""
    return (
        f"{stack.name}: {of_all} {scenes} from {first.time:%Y-%m-%d} ({_end_of(first.href)}) to "
        f"{last.time:%Y-%m-%d}{left_out}, "
        f"{stack.grid.width} x {stack.grid.height} pixels {stack.dtype}{_band(stack)}, {stack.grid.crs_name}"
        f"{_extent(stack, source)}, {nodata(stack.nodata)}, {_scale(stack, source)}, {size(stored)} stored"
        f"{_of_files_beside(stack)}{_masked(stack, mask) if mask else ''}"
    )


def _band(stack: Stack) -> str:
    """The band that is read, with its description, of files with several."""
    header, bands = stack.scenes[0].header, stack.bands
    name, numbers = header.descriptions[bands[0] - 1], " or ".join(map(str, sorted(bands)))
    return f" of band {numbers}{f' ({printable(name)})' if name else ''}" if header.bands > 1 else ""


def _masked(stack: Stack, mask: MaskSettings) -> str:
    """The test by which masks in files of their own hide pixels, with an example, and how coarse they are."""
    if not stack.masks:
        return ""
    factors = sorted({file.factor for file in stack.masks})
    coarser = f", {' or '.join(map(str, factors))} times coarser" if factors != [1] else ""
    stored = size(sum(file.size for file in stack.masks))
    return f"; {describe_test(mask)} of masks ({_end_of(stack.masks[0].href)}{coarser}) hidden, {stored} stored"


def _extent(stack: Stack, source: SourceSettings) -> str:
    """The choice of the grid, if scenes differ in extent or a box cuts it, and how many scenes do not reach it."""
    extents = len({scene.window for scene in stack.scenes})
    several = f", {source.grid.value} of {extents} extents" if extents > 1 else ""
    cuts = [key for key, cut in (("source.bbox", source.bbox), ("source.area", source.area)) if cut]
    box = f", cut by {' and '.join(cuts)}" if cuts else ""
    outside = sum(scene.part(stack.grid.window) is None for scene in stack.scenes)
    return f"{several}{box}" + (f", {outside} of {len(stack.scenes)} scenes outside of it" if outside else "")


def _scale(stack: Stack, source: SourceSettings) -> str:
    """If source.mask_and_scale finds anything to do."""
    if all(scene.header.scale_of(scene.band) == (1, 0) for scene in stack.scenes):
        return "no scale"
    return "scaled" if source.mask_and_scale else "scale not applied"


def _of_files_beside(stack: Stack) -> str:
    """The number of scenes that another file places or completes, with an example."""
    beside = [[href for href in scene.sidecars if not href.endswith(_AUX)] for scene in stack.scenes]
    completed = [[href for href in scene.sidecars if href.endswith(_AUX)] for scene in stack.scenes]
    kinds = {"placed by a world file": beside, f"completed by a {_AUX}": completed}
    examples = {kind: [hrefs[0] for hrefs in scenes if hrefs] for kind, scenes in kinds.items()}
    return "".join(f", {len(hrefs)} {kind} ({_end_of(hrefs[0])})" for kind, hrefs in examples.items() if hrefs)


def _end_of(href: str) -> str:
    """The name of an object and of its folder."""
    return printable("/".join(href.split("/")[-2:]))


def describe_skipped(inputs: Inputs) -> list[str]:
    """A line for each of the first scenes that cannot be read, and one for the number of the others."""
    skipped = [f"left out: {printable(item.item.href)}: {item.reason}" for item in inputs.left_out if item.skipped]
    more = len(skipped) - _MOST_NAMED
    return skipped[:_MOST_NAMED] + ([f"left out: {more} more, see inputs.parquet"] if more > 0 else [])


def describe_left_to_gdal(reasons: Mapping[str, Sequence[str]], files: int, what: str = "scenes") -> list[str]:
    """A line for each reason why the fast reader leaves scenes, or `what`, to GDAL; `files` is the number of all."""
    return [f"{len(hrefs)} of {files} {what} are read by GDAL: {reason}" for reason, hrefs in reasons.items()]


def describe_pass(pass_: PassRecord) -> str:
    """One line: how long a pass took, on what, and what it fetched."""
    fetched = pass_.fetched
    cluster = f"{pass_.cluster.kind}, {plural(pass_.cluster.threads, 'thread')}"
    amount = f", {size(fetched.bytes)} in {plural(fetched.requests, 'request')}" if fetched else ""
    retried = f", {fetched.retries} retried" if fetched and fetched.retries else ""
    compiling = pass_.compile_seconds or 0.0
    more = f", and {compiling:.1f} s of compiling" if compiling >= _WORTH_SAYING else ""
    return f"{pass_.name}: {(pass_.compute_seconds or 0.0) - compiling:.1f} s ({cluster}){amount}{retried}{more}"


def describe_compiling(dtype: str | None = None) -> str:
    """One line for a run whose kernels must be compiled; `dtype` if it is known of which pixels."""
    return (
        f"compiling{f' for {dtype} pixels' if dtype else ''}, which takes some seconds once; later runs find it on disk"
    )


def describe_weights(plan: Plan, stack: Stack) -> list[str]:
    """A line for each stage that weighs pixels by area, or that ought to and cannot."""
    return [line for stage in plan.stages if (line := _describe_weights(stage, stack))]


def _describe_weights(stage: StagePlan, stack: Stack) -> str:
    name, crs = stage.name, stack.grid.crs_name
    if stage.by_area:
        return (
            f"{name}: {', '.join(stage.by_area)} by the area of the pixels, since {crs} is geographic; "
            f"stages.{name}.weights=none counts them all the same"
        )
    if stage.over is Over.space and is_mercator(stack.grid):
        return (
            f"{name}: all pixels count the same, though {crs} is a Mercator projection, where their areas differ from "
            "row to row; warp the scenes to an equal-area or a geographic CRS for means by area"
        )
    return ""


def describe_too_few(plan: Plan, stack: Stack) -> list[str]:
    """A line for each stage over time whose values are all missing, since min_count exceeds the scenes."""
    scenes = len(stack.scenes)
    left = f"{scenes} scene{'s are' if scenes > 1 else ' is'} left"
    return [
        f"{stage.name}: all values but counts are missing, since {left}, fewer than "
        f"stages.{stage.name}.min_count={stage.min_count}"
        for stage in plan.stages
        if stage.over is Over.time and stage.min_count > scenes
    ]


def describe_beyond(beyond: Iterable[tuple[str, str]], raster: np.dtype) -> list[str]:
    """A line for each raster, by stage and statistic, whose type is too narrow for a value of it."""
    return [
        f"{raster_name(stage, statistic)}: some values are beyond {raster} and infinite in the file; "
        "output.raster_dtype=float64 holds them"
        for stage, statistic in sorted(beyond)
    ]


def show_plan(plan: Plan, stack: Stack) -> None:
    """Print the plan, one column per pass, and how keys were read."""
    for line in describe_keys(stack):
        say(line)
    facts = [_plan_facts(pass_) for pass_ in plan.passes]
    rows = [[fact, *(column[fact] for column in facts)] for fact in facts[0]]
    title = f"{stack.name}: {plural(len(stack.scenes), 'scene')}"
    show_table(table(title, ["", *(pass_.name for pass_ in plan.passes)], rows))
    for line in describe_weights(plan, stack) + describe_too_few(plan, stack):
        say(line)
    for pass_ in plan.passes:
        if len(pass_.stages) > 1:
            saved = size(pass_.cost.stored_bytes * (len(pass_.stages) - 1))
            say(f"{pass_.name}: fused, which saves reading and decoding {saved}")
        if large_tiles(stack):
            say(_about_large_tiles(pass_, stack))
        elif pass_.cost.over_read > 1:
            more = f"so that {100 * (pass_.cost.over_read - 1):.0f} % more is decoded"
            tile = " x ".join(map(str, stack.tile_shape))
            if len(stack.tile_phases) > 1:
                say(f"{pass_.name}: the files' tiles of {tile} do not lie alike, and chunks cut some of them, {more}")
                continue
            say(
                f"{pass_.name}: chunks of {pass_.chunks.y} x {pass_.chunks.x} cut the files' tiles of {tile}, "
                f"{more}; whole tiles (chunks.snap=true) avoid that"
            )


def describe_keys(stack: Stack) -> list[str]:
    """A line each for the first and the last key, and what was read from them."""
    return [
        ", ".join(
            [
                f"{end} key: {printable(scene.href)} is scene {printable(scene.name)}",
                f"{scene.time:%Y-%m-%d %H:%M:%S}",
                *(f"{name} {printable(text)}" for name, text in scene.groups.items()),
            ]
        )
        for end, scene in (("first", stack.scenes[0]), ("last", stack.scenes[-1]))
    ]


def _about_large_tiles(pass_: Pass, stack: Stack) -> str:
    """The times that files with large tiles, such as one strip, are decoded, and what avoids it."""
    tile_y, tile_x = stack.tile_shape
    times = f"{pass_.cost.over_read:.1f} times" if pass_.cost.over_read > 1 else "once"
    return (
        f"{pass_.name}: each of the files' tiles of {tile_y} x {tile_x} ({size(stack.tile_bytes)}) is decoded "
        f"{times}; files with smaller tiles take less memory and time: {REWRITE}"
    )


def _plan_facts(pass_: Pass) -> dict[str, str]:
    cost, workers, chunks = pass_.cost, pass_.workers, pass_.chunks
    return {
        "statistics": "; ".join(f"{stage.over.value}: {', '.join(_labels(stage))}" for stage in pass_.stages),
        "cluster": f"{pass_.cluster.kind.value}, {workers.processes} x {plural(workers.threads, 'thread')}",
        "task": f"{plural(chunks.time, 'scene')} x {chunks.y} x {chunks.x} pixels",
        "tasks": f"{len(pass_.tasks)}, {len(pass_.tasks) / (workers.processes * workers.threads):.1f} a thread",
        "requests": "by GDAL" if cost.requests is None else str(cost.requests),
        "stored": f"{size(cost.stored_bytes)}, of it masks {size(cost.mask_bytes)}"
        if cost.mask_bytes
        else size(cost.stored_bytes),
        "decoded": size(cost.decoded_bytes),
        "a worker's memory": "by dask" if pass_.worker_bytes is None else size(pass_.worker_bytes),
        "it may have": "unknown" if workers.memory_bytes is None else size(workers.memory_bytes),
    }


def _labels(stage: StagePlan) -> list[str]:
    return [f"{name} by area" if name in stage.by_area else name for name in stage.statistics]


def result_rows(stage: StagePlan, files: Sequence[FileFacts]) -> list[list[str]]:
    """Lowest and highest value of each statistic of a stage, for `show_results`."""
    labels = dict(zip(stage.statistics, _labels(stage), strict=True))
    return [
        [f"{stage.name}: {labels[value.name]}", _number(value.minimum), _number(value.maximum), _missing(value)]
        for file in files
        for value in file.values
    ]


def show_results(rows: list[list[str]], inputs: Inputs, files: list[Path]) -> None:
    """Print what came out, and the files it is in."""
    if results_are_hidden():
        return
    show_table(table("", ["result", "lowest", "highest", "no data"], rows))
    left_out = sum(not item.beyond_limit for item in inputs.left_out)
    if left_out:
        say(f"{plural(left_out, 'object')} left out, each with its reason in inputs.parquet")
    for line in describe_skipped(inputs):
        say(line)
    for path in files:
        say(f"wrote {relative_path(path)}")


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value}" if isinstance(value, int) else f"{value:.6g}"


def _missing(values: ValueFacts) -> str:
    return f"{100 * (1 - values.count / prod(values.shape)):.1f} %"
