"""The machine, the packages and the settings that a run ran with, as names and texts."""

from collections.abc import Mapping

from runner.base import humanize
from runner.record.run import Run

Pairs = list[tuple[str, str]]


def described(run: Run) -> list[tuple[str, Pairs]]:
    """Titles, each with its names and texts."""
    return [
        ("Machine", _machine(run)),
        ("Packages", texts(run.versions)),
        ("GDAL options, as read back from the workers", _gdal_options(run)),
        ("dask settings that are not its defaults", texts(run.dask)),
    ]


def texts(values: Mapping[str, object]) -> Pairs:
    """Names and values, each value as JSON has it."""
    return [(name, _text(value)) for name, value in values.items()]


def _text(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _machine(run: Run) -> Pairs:
    limits = run.cgroup
    facts = [
        ("host", run.host),
        ("platform", run.platform),
        ("Python", run.python),
        ("cores", run.cores),
        ("cores allowed", limits and limits.cpu_limit),
        ("memory", run.memory_bytes and humanize.size(run.memory_bytes)),
        ("memory allowed", limits and limits.memory_limit_bytes and humanize.size(limits.memory_limit_bytes)),
        ("pid", run.pid),
        ("version of the kernels", run.kernels),
        ("resumed from", run.resumed_from),
        ("rerun of", run.rerun_of),
        ("config sha256", run.config_sha256),
    ]
    return [(name, str(value)) for name, value in facts if value]


def _gdal_options(run: Run) -> Pairs:
    """The options of all workers; where workers differ, every value."""
    values: dict[str, dict[str, None]] = {}
    for worker in (options for one in run.passes for options in one.gdal_options.values()):
        for name, value in texts(worker):
            values.setdefault(name, {})[value] = None
    return [(name, ", ".join(each)) for name, each in sorted(values.items())]
