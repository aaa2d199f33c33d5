"""Where Hydra finds our launcher and our sweeper."""

import sys
from pathlib import Path


def let_hydra_find_plugins() -> None:
    """Put the folder of our plugins on the path, before Hydra looks for any.

    Hydra takes plugins from the namespace package `hydra_plugins` alone, and imports them by that name. As a folder
    inside of this package it is there in a checkout, an editable install and a wheel alike; it holds nothing else.
    """
    folder = str(Path(__file__).parent / "on_path")
    if folder not in sys.path:
        sys.path.append(folder)
