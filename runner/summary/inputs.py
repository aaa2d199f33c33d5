"""Lines for the console: what was found, on which grid, and what was left out."""

from collections.abc import Mapping, Sequence

from runner.base.humanize import nodata, size
from runner.errors import printable
from runner.model import Inputs, Stack
from runner.settings import MaskSettings, SourceSettings
from runner.source.mask_files import describe_test

_AUX = ".aux.xml"
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
        f"{_extent(stack, source)}, {nodata(stack.nodata)}, {_scale(stack, source)}, {size(stored)} in files"
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
    return f"; {describe_test(mask)} of masks ({_end_of(stack.masks[0].href)}{coarser}) hidden, {stored} in files"


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


def describe_skipped(inputs: Inputs) -> list[str]:
    """A line for each of the first scenes that cannot be read, and one for the number of the others."""
    skipped = [f"left out: {printable(item.item.href)}: {item.reason}" for item in inputs.left_out if item.skipped]
    more = len(skipped) - _MOST_NAMED
    return skipped[:_MOST_NAMED] + ([f"left out: {more} more, see inputs.parquet"] if more > 0 else [])


def describe_left_to_gdal(reasons: Mapping[str, Sequence[str]], files: int, what: str = "scenes") -> list[str]:
    """A line for each reason why the fast reader leaves scenes, or `what`, to GDAL; `files` is the number of all."""
    return [f"{len(hrefs)} of {files} {what} are read by GDAL: {reason}" for reason, hrefs in reasons.items()]
