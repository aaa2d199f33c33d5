"""Versions by which workers are judged: Python, numpy, numba, and the source of this package."""

from collections.abc import Callable, Mapping
from functools import cache

Versions = Mapping[str, str]


@cache
def versions_here() -> Versions:
    """The versions of this process."""
    return finder()()


def finder() -> Callable[[], dict[str, str]]:
    """A function that finds the versions wherever it runs. It is sent by value: a worker need not have this package.

    The package is compared by its source: an edited checkout has the same number.
    """

    def find() -> dict[str, str]:
        import hashlib  # noqa: PLC0415 - the worker's own, as all below
        import importlib.metadata  # noqa: PLC0415
        import importlib.util  # noqa: PLC0415
        import pathlib  # noqa: PLC0415
        import sys  # noqa: PLC0415

        def version(name: str) -> str:
            try:
                return importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return "missing"

        found = {"Python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
        found |= {name: version(name) for name in ("numpy", "numba")}
        spec = importlib.util.find_spec("runner")
        if spec is None or not spec.submodule_search_locations:
            return {**found, "cog-stack-runner": "missing"}
        digest, folder = hashlib.sha256(), pathlib.Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
        return {**found, "cog-stack-runner": f"{version('cog-stack-runner')} (source {digest.hexdigest()[:12]})"}

    return find
