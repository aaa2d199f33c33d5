"""Whether the jobs of a sweep did the same work: only then do their times say which settings are best.

The same work is the same values of the same scenes: jobs that read other scenes, other bands or masks, or compute other
statistics are measured all the same, and none of them is the winner.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from runner.base import humanize
from runner.base.tree import flat
from runner.leaderboard.agreement import SCENES, SOURCE
from runner.leaderboard.rows import Row

_OF_SOURCE: Final = tuple(f"source.{name}" for name in (*SCENES, *SOURCE))
_OTHERS: Final = ("mask", "output.raster_dtype")
_OF_STAGE: Final = (".statistics", ".min_count", ".weights")
_MOST_VALUES: Final = 4


def different_work(rows: Sequence[Row]) -> tuple[str, ...]:
    """In what the completed jobs did not do the same, in words; nothing if they did."""
    known = [row for row in sorted(rows, key=lambda row: row.job) if row.status == "COMPLETED" and row.agreement.work]
    if len({row.agreement.work for row in known}) < 2:
        return ()
    runs = [run for row in known if (run := next((one.run for one in row.completed if one.run), None))]
    settings = [{key: str(of) for key, of in flat(run.config).items() if _chooses(key)} for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    said = [f"{key} ({_several(values)})" for key in keys if len(values := _values(settings, key)) > 1]
    scenes = sorted({run.scenes for run in runs if run.scenes is not None})
    counts = [f"the number of scenes ({_several(map(str, scenes))})"] if len(scenes) > 1 else []
    return tuple([*said, *counts] or ["the scenes they read"])


def _chooses(key: str) -> bool:
    """Whether a setting says what is computed of what."""
    of_stage = key.startswith("stages.") and any(part in key for part in _OF_STAGE)
    return of_stage or key in _OTHERS or key.startswith(_OF_SOURCE)


def _values(settings: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(one.get(key, "none") for one in settings))


def _several(values: Iterable[str]) -> str:
    return humanize.listed([humanize.cut(value, 40) for value in values], _MOST_VALUES)
