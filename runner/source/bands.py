"""The band that a stack is read from: by its number, or by the description that the files give it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from runner.base.humanize import plural
from runner.base.suggest import nearest
from runner.errors import SourceError, printable
from runner.model import Scene
from runner.read.header import Header


def band_number(band: int | str, scenes: Sequence[Scene]) -> int:
    """The number of a band that all scenes have. Raises SourceError that says how many do not, and what these have."""
    if isinstance(band, int):
        _refuse_fewer_bands(band, scenes)
        return band
    numbers = [_numbers(band, scene.header) for scene in scenes]
    _refuse_others(band, [scene for scene, found in zip(scenes, numbers, strict=True) if not found], len(scenes))
    twice = next((scene for scene, found in zip(scenes, numbers, strict=True) if len(found) > 1), None)
    if twice is not None:
        raise SourceError(
            f"source.band={printable(band)}: bands {_listed(_numbers(band, twice.header))} of {printable(twice.href)} "
            "have this description; give the number of one"
        )
    _refuse_several_numbers(band, scenes, [number for (number,) in numbers])
    return numbers[0][0]


def _numbers(band: str, header: Header) -> list[int]:
    return [number for number, text in enumerate(header.descriptions, start=1) if text == band]


def _refuse_fewer_bands(band: int, scenes: Sequence[Scene]) -> None:
    lacking = [scene for scene in scenes if scene.header.bands < band]
    if lacking:
        few = "the scenes have" if len(lacking) == len(scenes) else f"{len(lacking)} of {len(scenes)} scenes have"
        raise SourceError(
            f"source.band={band}: {few} {plural(lacking[0].header.bands, 'band')}, such as {printable(lacking[0].href)}"
        )


def _refuse_others(band: str, lacking: Sequence[Scene], total: int) -> None:
    """Raise SourceError for scenes without a band of this description."""
    if not lacking:
        return
    header, href = lacking[0].header, printable(lacking[0].href)
    known = [text for text in header.descriptions if text]
    some = "" if len(lacking) == total else f"{len(lacking)} of {total} scenes have no such band: "
    if not known:
        raise SourceError(
            f"source.band={printable(band)}: {some}the bands of {href} have no descriptions; give a number, "
            f"1 to {header.bands}"
        )
    folded = {text.casefold(): text for text in known}
    near = nearest(band.casefold(), folded)
    hint = f"; did you mean '{printable(folded[near])}'" if near else ""
    names = _listed(f"'{printable(text)}'" for text in known)
    raise SourceError(f"source.band={printable(band)}: {some}{href} has {names}{hint}")


def _refuse_several_numbers(band: str, scenes: Sequence[Scene], numbers: Sequence[int]) -> None:
    counts = Counter(numbers).most_common()
    if len(counts) == 1:
        return
    kinds = ", ".join(
        f"band {number} of {count} ({printable(scenes[numbers.index(number)].name)})" for number, count in counts
    )
    raise SourceError(
        f"source.band={printable(band)}: of {len(scenes)} scenes it is {kinds}; run each kind on its own, with a "
        "narrower source.url or a source.exclude"
    )


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
