"""Tables that a terminal and a README can show, and the facts that go with them."""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import distributions
from typing import NoReturn

import psutil

from runner.base.console import complain
from runner.errors import RunnerError

PACKAGES = (
    "numpy", "xarray", "rioxarray", "rasterio", "dask", "distributed", "odc-stac", "obstore", "imagecodecs", "numba",
)  # fmt: skip


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, in columns of equal width; text to the left, numbers to the right."""
    lines = [columns, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    cells = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in (columns, rule, *lines[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and the lowest and highest value where there are several."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def median(values: Sequence[float], digits: int = 0) -> str:
    """The median alone."""
    return f"{statistics.median(values):.{digits}f}"


def machine() -> str:
    """Where this runs, for the title of a table."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} CPUs, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def versions() -> dict[str, str]:
    """The packages that the contestants are made of."""
    installed = {distribution.name: distribution.version for distribution in distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def end_with(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its code; what it raises for the user is one line."""
    try:
        sys.exit(main())
    except RunnerError as error:
        complain(str(error))
        sys.exit(1)
