"""The settings of a job in a queue: from `cluster.options`, the keys of the cluster, or the user's jobqueue.yaml."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import dask
from dask.utils import parse_bytes as dask_bytes

from runner.base.humanize import one_line
from runner.cluster.keys import key_of
from runner.cluster.started import options_of
from runner.cluster.walltime import refusal, walltime_seconds
from runner.errors import ClusterError
from runner.settings import ClusterKind, ClusterSettings

_LEAVING: Final = (60.0, 0.1)  # before the walltime: seconds, but at most this share of it; half of it is the stagger
# What dask-jobqueue says, in part, and the key that it is about.
_SUBJECTS: Final = (("unexpected keyword argument", "options"), ("network interface", "interface"))


def value_of(settings: ClusterSettings, name: str) -> Any:
    """The value by which a job is made. The package has loaded the user's file into dask's config."""
    given = options_of(settings).get(name, getattr(settings, name, None))
    return given if given is not None else _of_file(settings, name)


def _of_file(settings: ClusterSettings, name: str) -> Any:
    return dask.config.get(f"{section_of(settings)}.{name.replace('_', '-')}", None)


def section_of(settings: ClusterSettings) -> str:
    """The section of jobqueue.yaml for a kind of queue."""
    return f"jobqueue.{settings.kind.value}"


class JobSize(NamedTuple):
    """What a job asks for, as far as it is said."""

    cores: int | None
    processes: int | None
    memory_bytes: int | None


def job_size_of(settings: ClusterSettings) -> JobSize:
    """The size of a job. Raises ClusterError for a value of options or of the user's file that is none."""
    cores, processes = _number_of(settings, "cores"), _number_of(settings, "processes")
    if cores and processes and processes > cores:
        raise _refused(settings, "processes", f"at most {cores}, the cores of a job")
    return JobSize(cores, processes, _memory_of(settings))


def _number_of(settings: ClusterSettings, name: str) -> int | None:
    value = value_of(settings, name)
    if value is not None and not (str(value).isdecimal() and int(value)):
        raise _refused(settings, name, "a whole number from 1")
    return value if value is None else int(value)


def _memory_of(settings: ClusterSettings) -> int | None:
    value = value_of(settings, "memory")
    try:
        memory: int | None = None if value is None else dask_bytes(value)
    except ValueError:
        memory = 0
    if memory == 0:
        raise _refused(settings, "memory", "a size such as 16GiB")
    return memory


def _refused(settings: ClusterSettings, name: str, wanted: str) -> ClusterError:
    """A value of a job in whose place something else is wanted, by where it is set."""
    value = f"{name}={value_of(settings, name)}"
    if name in options_of(settings):
        return ClusterError(f"{value}, of {key_of('options')}: wanted {wanted}")
    if getattr(settings, name, None) is not None:
        return ClusterError(f"{key_of(value)}: wanted {wanted}")
    return ClusterError(f"{value}, of {section_of(settings)} in ~/.config/dask/jobqueue.yaml: wanted {wanted}")


def refuse_missing(settings: ClusterSettings) -> None:
    """Raise ClusterError if something is not set without which dask-jobqueue makes no job, or is none."""
    job_size_of(settings)
    missing = [words for name, words in _needed(settings) if value_of(settings, name) is None]
    if missing:
        raise ClusterError(
            f"{key_of()}={settings.kind.value}: the size of a job is not known; set {' '.join(missing)}, "
            f"or the same in {section_of(settings)} of ~/.config/dask/jobqueue.yaml"
        )


def _needed(settings: ClusterSettings) -> Iterator[tuple[str, str]]:
    """What a job needs, and the words of the command line that set it."""
    yield "cores", f"{key_of('cores')}=4"
    yield "memory", f"{key_of('memory')}=16GiB"
    if settings.kind is ClusterKind.htcondor:
        yield "disk", f"{key_of('options')}=[disk=1GB]"


def leaving(settings: ClusterSettings) -> list[str] | None:
    """Arguments by which workers leave before the walltime, not all at once, and hand over what they have.

    Raises ClusterError for a time in which they could not do anything.
    """
    text, own = str(value_of(settings, "walltime")), _of_file(settings, "worker_extra_args") or []
    walltime = walltime_seconds(settings.kind, text)
    if walltime is None:  # there is none, or the queue is left to say what it thinks of the user's file
        return None
    if wanted := refusal(settings.kind, text):
        raise _refused(settings, "walltime", wanted)
    if walltime == 0 or any("--lifetime" in str(word) for word in own):  # 0 is no limit
        return None
    before = min(_LEAVING[0], _LEAVING[1] * walltime)
    lifetime, stagger = walltime - 1.5 * before, before / 2
    return [*own, "--lifetime", f"{lifetime:.0f}s", "--lifetime-stagger", f"{stagger:.0f}s"]


def why_no_job(settings: ClusterSettings, error: Exception) -> ClusterError:
    """What dask-jobqueue says of settings that it refuses, and where to look."""
    said = one_line(str(error).partition(". Very likely")[0])  # all arguments follow, which are ours
    key = next((key_of(key) for words, key in _SUBJECTS if words in said), key_of("options"))
    return ClusterError(
        f"{key_of()}={settings.kind.value}: dask-jobqueue says: {said}; look at {key}, and at {section_of(settings)} "
        "in ~/.config/dask/jobqueue.yaml"
    )
