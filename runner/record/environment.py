"""The machine and its limits, and the versions of the packages that results depend on."""

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from runner.base.tree import leaves
from runner.host.cgroup import group_limits

OURSELVES = "cog-stack-runner"
_MISSING = object()


def machine_facts() -> dict[str, Any]:
    """Host, processor, memory and limits, and the interpreter; some milliseconds."""
    import psutil  # noqa: PLC0415 - readers of records need none of it

    limits = group_limits()
    limited = {"memory_limit_bytes": limits.memory_bytes, "cpu_limit": limits.cpus}
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "cgroup": limited if any(limited.values()) else None,
    }


def library_versions() -> dict[str, str]:
    """The installed versions of this package, of all that it requires, and of the libraries inside rasterio."""
    import rasterio  # noqa: PLC0415 - GDAL is loaded where it is used, not in every import

    required = [text for text in requires(OURSELVES) or () if "extra ==" not in text]
    names = [OURSELVES, *(re.split(r"[^\w.-]", text)[0] for text in required)]
    versions = {name: number for name in sorted(names) if (number := _version(name))}
    native = ("GDAL", "gdal"), ("PROJ", "proj"), ("GEOS", "geos")
    return versions | {name: str(getattr(rasterio, f"__{key}_version__")) for name, key in native}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def dask_settings() -> dict[str, Any]:
    """Dask's settings that differ from its defaults, by their dotted names: from files, the environment, or code.

    None in a process that uses no dask.
    """
    if "dask" not in sys.modules:
        return {}
    import dask.config  # noqa: PLC0415 - as it says

    defaults: dict[str, Any] = {}
    for settings in dask.config.defaults:
        dask.config.update(defaults, settings)
    usual = dict(leaves(defaults))
    return {name: value for name, value in leaves(dask.config.config) if usual.get(name, _MISSING) != value}
