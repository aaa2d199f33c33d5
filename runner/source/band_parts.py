"""The stacks of an archive by the bands of its files: a stack for each band of `source.bands`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from runner.errors import RunnerError, SourceError, printable
from runner.model import Scene
from runner.settings import OnError, SourceSettings
from runner.settings.source import number_or_name
from runner.source.bands import numbers_of, with_bands
from runner.source.headers import read_headers
from runner.source.parts import Part, names_of
from runner.source.selection import choose
from runner.source.stores import Stores

Bands = list[int | str]


def by_band(source: SourceSettings, parts: Sequence[Part], stores: Stores) -> list[Part]:
    """A part for each band of each part; the parts as they are without `source.bands`.

    `all` takes the bands of the first scene of a part, by their descriptions if these tell them apart. Raises
    SourceError for a scene whose header cannot be read, for a band that no part has, and for one with two names.
    """
    if not source.bands:
        return list(parts)
    if source.bands == ["all"]:
        bands = _all_bands(source, parts, stores)
    else:
        _refuse_unknown_and_same(source, parts, stores)
        bands = [source.bands] * len(parts)
    each = [(part, band) for part, own in zip(parts, bands, strict=True) for band in own]
    keys = [(*part.values.values(), str(band)) for part, band in each]
    names = names_of(keys)
    return [
        replace(part, name=names[key], values={**part.values, "band": str(band)}, band=band)
        for (part, band), key in zip(each, keys, strict=True)
    ]


def _refuse_unknown_and_same(source: SourceSettings, parts: Sequence[Part], stores: Stores) -> None:
    """Raise SourceError for a band that the first scene of no part has: a slip, which would fail each of its stacks.

    So it does for two names of one band, which would be read into two stacks that are alike. One header is read, and
    those of the other parts only where it lacks a band. What cannot be read fails its own stack later, and no other.
    """
    first = next((scene for part in parts if (scene := _first_scene(source, part, stores))), None)
    problems = {band: problem for band in source.bands if first and (problem := _problem_of(source, band, first))}
    if first:
        _refuse_same(source, first)
    if not first or not problems:
        return
    for part in parts:
        scene = _first_scene(source, part, stores)
        problems = {band: text for band, text in problems.items() if scene is None or _problem_of(source, band, scene)}
    if problems:
        raise SourceError(next(iter(problems.values())))


def _refuse_same(source: SourceSettings, scene: Scene) -> None:
    """Raise SourceError for a band of a scene that has two names, such as its number and its description."""
    of_number: dict[int, int | str] = {}
    for band in source.bands:
        for number in numbers_of(band, scene.header):
            if number in of_number:
                raise SourceError(
                    f"{_setting(source)}: {_shown(of_number[number])} and {_shown(band)} are the same band of "
                    f"{printable(scene.href)}; name it once"
                )
            of_number[number] = band


def _setting(source: SourceSettings) -> str:
    return f"source.bands=[{','.join(map(_shown, source.bands))}]"


def _shown(band: int | str) -> str:
    return printable(str(band))


def _first_scene(source: SourceSettings, part: Part, stores: Stores) -> Scene | None:
    """The first scene of a part; None if its header cannot be read."""
    try:
        chosen, _ = choose(source, part.candidates)
        scenes, _ = asyncio.run(read_headers(chosen[:1], stores, OnError.skip, lambda *_: None))
    except RunnerError:
        return None
    return scenes[0] if scenes else None


def _problem_of(source: SourceSettings, band: int | str, scene: Scene) -> str | None:
    """The reason why a scene does not have a band."""
    try:
        with_bands(band, [scene], f"{_setting(source)}: band {_shown(band)}")
    except SourceError as error:
        return str(error)
    return None


def _all_bands(source: SourceSettings, parts: Sequence[Part], stores: Stores) -> list[Bands]:
    chosen = [choose(source, part.candidates)[0] for part in parts]
    empty = next((part for part, scenes in zip(parts, chosen, strict=True) if not scenes), None)
    if empty is not None:
        raise SourceError(f"source.bands=all: no scene of {empty.name or 'the source'} is left; name the bands instead")
    scenes, _ = asyncio.run(read_headers([scenes[0] for scenes in chosen], stores, OnError.stop, lambda *_: None))
    return [_bands_of(scene) for scene in scenes]


def _bands_of(scene: Scene) -> Bands:
    """The bands of a scene: by description if each has its own, else by number."""
    names = scene.header.descriptions
    told_apart = all(_is_name(name) for name in names) and len(set(names)) == len(names)
    return [*names] if told_apart else [*range(1, len(names) + 1)]


def _is_name(description: str) -> bool:
    """True for a description by which source.band finds it, and not a number."""
    return bool(description.strip()) and description != "all" and number_or_name(description) == description
