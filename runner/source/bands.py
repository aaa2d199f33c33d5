"""The band that is read of each scene: by its number, or by the description that its file gives it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from runner.base.humanize import plural
from runner.base.suggest import nearest
from runner.errors import SourceError, printable
from runner.model import Scene
from runner.read.header import Header


def with_bands(band: int | str, scenes: Sequence[Scene], setting: str | None = None) -> tuple[Scene, ...]:
    """The scenes with the number of a band that all of them have; a description may have another number in each.

    Raises SourceError that says how many do not have the band, and what these have; it begins with the setting.
    """
    setting = setting or f"source.band={printable(str(band))}"
    if isinstance(band, int):
        _refuse_fewer_bands(setting, band, scenes)
        return tuple(_with_band(scene, band) for scene in scenes)
    numbers = [numbers_of(band, scene.header) for scene in scenes]
    _refuse_others(
        setting, band, [scene for scene, found in zip(scenes, numbers, strict=True) if not found], len(scenes)
    )
    twice = next((scene for scene, found in zip(scenes, numbers, strict=True) if len(found) > 1), None)
    if twice is not None:
        raise SourceError(
            f"{setting}: bands {_listed(numbers_of(band, twice.header))} of {printable(twice.href)} "
            "have this description; give the number of one"
        )
    return tuple(_with_band(scene, number) for scene, (number,) in zip(scenes, numbers, strict=True))


def _with_band(scene: Scene, band: int) -> Scene:
    """The scene itself if it has this band already, as most have."""
    return scene if scene.band == band else replace(scene, band=band)


def numbers_of(band: int | str, header: Header) -> list[int]:
    """The numbers of the bands that are meant: all of a description, none if the file has no such band."""
    if isinstance(band, int):
        return [band] if band <= header.bands else []
    return [number for number, text in enumerate(header.descriptions, start=1) if text == band]


def _refuse_fewer_bands(setting: str, band: int, scenes: Sequence[Scene]) -> None:
    lacking = [scene for scene in scenes if scene.header.bands < band]
    if lacking:
        few = "the scenes have" if len(lacking) == len(scenes) else f"{len(lacking)} of {len(scenes)} scenes have"
        raise SourceError(
            f"{setting}: {few} {plural(lacking[0].header.bands, 'band')}, such as {printable(lacking[0].href)}"
        )


def _refuse_others(setting: str, band: str, lacking: Sequence[Scene], total: int) -> None:
    """Raise SourceError for scenes without a band of this description."""
    if not lacking:
        return
    header, href = lacking[0].header, printable(lacking[0].href)
    known = [text for text in header.descriptions if text]
    some = "" if len(lacking) == total else f"{len(lacking)} of {total} scenes have no such band: "
    if not known:
        raise SourceError(
            f"{setting}: {some}the bands of {href} have no descriptions; give a number, "
            f"1 to {header.bands}{_meant(band, known)}"
        )
    names = _listed(f"'{printable(text)}'" for text in known)
    raise SourceError(f"{setting}: {some}{href} has {names}{_meant(band, known)}")


def _meant(band: str, known: Sequence[str]) -> str:
    """The nearest known description, or all bands."""
    folded = {text.casefold(): f"'{printable(text)}'" for text in known}
    near = nearest(band.casefold(), folded) or nearest(band.casefold(), ["all"])
    return f"; did you mean {folded.get(near, 'source.bands=all')}" if near else ""


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
