"""Folders of sweeps found: the sweep's own, and those of its attempts."""

from collections.abc import Iterator
from pathlib import Path

from runner.leaderboard.records import JOB, SWEEP

BEST_FOLDER = "experiment"  # of best.yaml: Hydra looks for experiment=best there


def attempt_folders(path: Path) -> Iterator[Path]:
    """The attempts' folders: with job.json, or numbered with run.json."""
    for folder in sorted(path.iterdir()) if path.is_dir() else []:
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        if (folder / JOB).is_file() or (folder.name.isdigit() and (folder / "run.json").is_file()):
            yield folder


def is_sweep(path: Path) -> bool:
    """True if jobs of a sweep lie in this folder."""
    return (path / SWEEP).is_file() or any(attempt_folders(path))


def find_sweeps(folder: Path) -> Iterator[Path]:
    """Every sweep below `folder`, at any depth; runs are not looked into."""
    for below in sorted(folder.iterdir()) if folder.is_dir() else []:
        if below.is_dir() and not below.name.startswith(".") and not (below / "run.json").is_file():
            if is_sweep(below):
                yield below
            else:
                yield from find_sweeps(below)
