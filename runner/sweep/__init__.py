"""Sweeps: many jobs, each in a process of its own, in random order, within limits."""

import sys
from pathlib import Path


def let_hydra_find_plugins() -> None:
    """Put the folder of our launcher and sweeper on the path, before Hydra looks for plugins.

    Hydra takes plugins from the namespace package `hydra_plugins` alone, and imports them by that name. The folder lies
    inside of this package, so that a checkout, an editable install and a wheel have it alike; it holds nothing else.
    """
    folder = str(Path(__file__).parent / "on_path")
    if folder not in sys.path:
        sys.path.append(folder)
