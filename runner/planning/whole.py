"""Chunks that divide values which an ordered statistic, such as a median, needs all at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from runner.errors import ConfigError
from runner.reduce.statistics import statistic
from runner.settings import ChunkSettings, EngineName, JobSettings, Over, StageSettings

OPTIONS: Final = {(1, "block", "block"): "block", (1, "block", "all"): "row", (1, "all", "all"): "scene"}
_AXES: Final = {Over.space: ("y", "x"), Over.time: ("time",), Over.zones: ("y", "x")}
_NEEDS: Final = {Over.space: "whole scenes", Over.time: "all scenes at once", Over.zones: "whole scenes"}


@dataclass(frozen=True, slots=True)
class _Conflict:
    """The chunks of one stage as typed, the need of its statistics, and overrides that meet it."""

    typed: str
    need: str
    remedy: str


def takes_whole_scenes(stage: StageSettings) -> bool:
    """True if a statistic of a scene needs all its pixels, or all those of its zones, at once."""
    return stage.over.makes_table and any(statistic(name).ordered for name in stage.statistics)


def refuse_parted_values(job: JobSettings) -> None:
    """Raise ConfigError if chunks divide what ordered statistics need, for all stages at once, with a remedy to paste.

    With engine=xarray, dask merges the chunks itself.
    """
    if job.engine is not EngineName.block:
        return
    conflicts = [conflict for name, stage in job.stages.items() for conflict in _conflict(job, name, stage)]
    if conflicts:
        typed = dict.fromkeys(conflict.typed for conflict in conflicts)
        remedies = dict.fromkeys(conflict.remedy for conflict in conflicts)
        needs = " and ".join(conflict.need for conflict in conflicts)
        raise ConfigError(f"{', '.join(typed)}: {needs}; add {' '.join(remedies)}")


def _conflict(job: JobSettings, name: str, stage: StageSettings) -> Iterator[_Conflict]:
    ordered = [statistic_name for statistic_name in stage.statistics if statistic(statistic_name).ordered]
    key, chunks = (f"stages.{name}.chunks", stage.chunks) if stage.chunks else ("chunks", job.chunks)
    divided = [axis for axis in _AXES[stage.over] if getattr(chunks, axis) not in ("auto", "all")]
    if ordered and divided:
        need = f"{', '.join(ordered)} of stages.{name} need{'s' * (len(ordered) == 1)} {_NEEDS[stage.over]}"
        yield _Conflict(_typed(key, chunks, divided), need, _remedy(key, name, stage.over))


def _typed(key: str, chunks: ChunkSettings, axes: list[str]) -> str:
    option = OPTIONS.get((chunks.time, chunks.y, chunks.x))
    return f"{key}={option}" if option else ", ".join(f"{key}.{axis}={getattr(chunks, axis)}" for axis in axes)


def _remedy(key: str, name: str, over: Over) -> str:
    """Overrides to add: chunks of its own for a stage that shares the chunks of all stages."""
    if over.makes_table and key == "chunks":
        return f"stages.{name}.chunks=scene"
    return " ".join(f"{key}.{axis}=all" for axis in _AXES[over])
