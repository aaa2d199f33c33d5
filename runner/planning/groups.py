"""Groups of the scenes of a stage over time, by the calendar or by named groups, each with results of its own.

The calendar is that of the scenes' times in UTC. The season DJF belongs to the year of its January, a week to the year
of its Thursday (ISO 8601).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from runner.base.humanize import listed, plural
from runner.base.suggest import did_you_mean
from runner.errors import PlanError, printable
from runner.model import Scene

_SEASONS: Final = ("DJF", "MAM", "JJA", "SON")
_UNSAFE: Final = re.compile(r"[^\w.+-]+")
_LONGEST: Final = 120  # bytes of a label: file systems take 255 for a name, with the stage and the statistic


class _Value(NamedTuple):
    """A scene's value of one key: as groups are ordered, and as file names have it."""

    order: tuple[int | str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a stage's scenes. `labels` stand in file names; `numbers` has the group of each scene."""

    by: tuple[str, ...]
    labels: tuple[str, ...]
    numbers: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of scenes of each group."""
        counts = Counter(self.numbers)
        return tuple(counts[number] for number in range(len(self.labels)))

    @property
    def digest(self) -> str:
        """Tells groups of the same scenes apart."""
        return hashlib.sha256(repr((self.by, self.labels, self.numbers)).encode()).hexdigest()[:16]

    def members(self, number: int) -> list[int]:
        """The numbers of the scenes of a group."""
        return [scene for scene, group in enumerate(self.numbers) if group == number]

    def among(self, scenes: Sequence[int]) -> "Groups":
        """The groups of some scenes alone, without those that have none of them."""
        groups = sorted({self.numbers[scene] for scene in scenes})
        place = {group: at for at, group in enumerate(groups)}
        return Groups(
            self.by,
            tuple(self.labels[group] for group in groups),
            tuple(place[self.numbers[scene]] for scene in scenes),
        )


@dataclass(frozen=True, slots=True)
class Lots:
    """The scenes of a pass in lots: those of a lot are in the same group of every stage.

    So a lot is added up once, and a group of a stage is made of whole lots. `numbers` has the lot of each scene; it is
    empty if all are of one. `sizes` has the scenes of each lot, `of_groups` for each stage the lots of each group; a
    stage without groups has one, of all scenes.
    """

    numbers: tuple[int, ...]
    sizes: tuple[int, ...]
    of_groups: Mapping[str, tuple[tuple[int, ...], ...]]

    def of_scene(self, scene: int) -> int:
        """The lot of a scene."""
        return self.numbers[scene] if self.numbers else 0

    def of_range(self, start: int, stop: int) -> list[int]:
        """The lots of some scenes."""
        return sorted(set(self.numbers[start:stop])) if self.numbers else [0]

    def scenes_of(self, stage: str, group: int) -> int:
        """The number of scenes of a group."""
        return sum(self.sizes[lot] for lot in self.of_groups[stage][group])


def lots_of(stages: Mapping[str, Groups | None], scenes: int) -> Lots:
    """The lots of so many scenes, for the groups of stages over time."""
    return _lots_of(tuple(stages.items()), scenes)


@lru_cache(maxsize=8)
def _lots_of(stages: tuple[tuple[str, Groups | None], ...], scenes: int) -> Lots:
    groups = dict.fromkeys(groups for _, groups in stages if groups)
    if not groups:
        return Lots((), (scenes,), {name: ((0,),) for name, _ in stages})
    keys = list(zip(*(by.numbers for by in groups), strict=True))
    number = {key: lot for lot, key in enumerate(sorted(set(keys)))}
    of_groups = {
        by: tuple(tuple(lot for key, lot in number.items() if key[place] == group) for group in range(len(by.labels)))
        for place, by in enumerate(groups)
    }
    every = (tuple(number.values()),)
    counts = Counter(keys)
    numbers = tuple(number[key] for key in keys) if len(number) > 1 else ()
    return Lots(numbers, tuple(counts[key] for key in number), {
        name: of_groups[by] if by else every for name, by in stages
    })  # fmt: skip


def group_scenes(key: str, by: Sequence[str], scenes: Sequence[Scene]) -> Groups:
    """The groups of scenes by calendar units and named groups; `key` is that of the setting.

    Raises PlanError for an unknown group, a scene that lacks it, and groups that cannot have files of their own.
    """
    named = {name for scene in scenes for name, value in scene.groups.items() if value}
    for name in by:
        _check(f"{key}={name}", name, named, scenes)
    values = [tuple(_value(scene, name) for name in by) for scene in scenes]
    groups = sorted(set(values))
    labels = _labels(key, groups)
    number = {group: at for at, group in enumerate(groups)}
    return Groups(tuple(by), tuple(labels), tuple(number[value] for value in values))


def _check(where: str, name: str, named: set[str], scenes: Sequence[Scene]) -> None:
    if name in CALENDAR:
        return
    if name not in named:
        has = f"scenes have the named groups {listed(sorted(named), 10)}" if named else "scenes have no named groups"
        near = did_you_mean(name, [*CALENDAR, *named])
        raise PlanError(f"{where}: there is no such group{near}; {has}, and the calendar has {', '.join(CALENDAR)}")
    lacking = [scene for scene in scenes if not scene.groups.get(name)]
    if lacking:
        raise PlanError(
            f"{where}: {len(lacking)} of {plural(len(scenes), 'scene')} do not have this group, such as "
            f"{printable(lacking[0].href)}; leave them out by source.where.{name}='*'"
        )


def _value(scene: Scene, name: str) -> _Value:
    if name in CALENDAR:
        return CALENDAR[name](scene.time)
    text = scene.groups[name]
    return _Value((0, int(text), text) if text.isdecimal() else (1, text), text)


def _labels(key: str, groups: Sequence[tuple[_Value, ...]]) -> Iterator[str]:
    """A label for each group, which may stand in a file's name and in no other's."""
    owners: dict[str, str] = {}
    for group in groups:
        label = "_".join(_UNSAFE.sub("-", value.text) for value in group)
        shown = printable(", ".join(value.text for value in group))
        if len(label.encode()) > _LONGEST:
            raise PlanError(f"{key}: the group {shown} is too long for the name of a file; group by another key")
        other = owners.setdefault(label.casefold(), shown)
        if other is not shown:
            raise PlanError(
                f"{key}: the groups {other} and {shown} would both be written as {label}, which not every file system "
                "tells apart; give one of them another name in the keys or the manifest, or group by another key"
            )
        yield label


# --- the calendar -----------------------------------------------------------------------------------------------------


def _month(time: datetime) -> _Value:
    return _Value((time.month,), f"month-{time.month:02d}")


def _season(time: datetime) -> _Value:
    number = time.month % 12 // 3
    return _Value((number,), _SEASONS[number])


def _year(time: datetime) -> _Value:
    return _Value((time.year,), f"{time.year:04d}")


def _year_month(time: datetime) -> _Value:
    return _Value((time.year, time.month), f"{time.year:04d}-{time.month:02d}")


def _year_season(time: datetime) -> _Value:
    year, season = time.year + (time.month == 12), _season(time)
    return _Value((year, *season.order), f"{year:04d}-{season.text}")


def _week(time: datetime) -> _Value:
    year, week, _ = time.isocalendar()
    return _Value((year, week), f"{year:04d}-W{week:02d}")


def _date(time: datetime) -> _Value:
    return _Value((time.toordinal(),), time.date().isoformat())


def _day_of_year(time: datetime) -> _Value:
    day = time.timetuple().tm_yday
    return _Value((day,), f"day-{day:03d}")


CALENDAR: Final[Mapping[str, Callable[[datetime], _Value]]] = {
    "month": _month,
    "season": _season,
    "year": _year,
    "year_month": _year_month,
    "year_season": _year_season,
    "week": _week,
    "date": _date,
    "day_of_year": _day_of_year,
}
