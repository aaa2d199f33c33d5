"""`run.json`: what a run was and how it ended, true from its first second to its last."""

import errno
import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runner.errors import Interrupted, OutputError
from runner.log.redact import RedactingFormatter, redact_tree

SCHEMA_VERSION = 1
PACKAGES = (
    "cog-stack-runner", "hydra-core", "omegaconf", "numpy", "pandas", "pyarrow", "xarray", "rioxarray", "rasterio",
    "dask", "distributed", "s3fs", "obstore", "imagecodecs", "numba",
)  # fmt: skip

log = logging.getLogger(__name__)


class RunRecord:
    """The record of one run; every change is on disk before the call returns."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = folder
        self._path = folder / "run.json"
        self._facts = facts
        self._started = time.monotonic()
        self._write()

    def update(self, **facts: Any) -> None:
        """Add or replace facts."""
        self._facts.update(facts)
        self._write()

    def add_pass(self, facts: dict[str, Any]) -> None:
        """Append what one pass was and took."""
        self.update(passes=[*self._facts["passes"], facts])

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started

    def close(self, status: str, exit_code: int, error: str | None = None) -> None:
        """Say how the run ended."""
        self.update(
            status=status,
            exit_code=exit_code,
            error=error,
            ended=_now(),
            seconds=round(self.seconds, 3),
        )

    def _write(self) -> None:
        aside = self._path.with_suffix(".json.part")
        aside.write_text(json.dumps(redact_tree(self._facts), indent=1, default=str) + "\n", "utf-8")
        aside.replace(self._path)


@contextmanager
def recorded_run(folder: Path, config: dict[str, Any], command: list[str], overrides: list[str]) -> Iterator[RunRecord]:
    """Claim `folder` for one run, and record how that ends. Raises OutputError if the folder holds a run already."""
    _claim(folder)
    handler = _log_file(folder / "run.log")
    logging.getLogger().addHandler(handler)
    try:
        record = RunRecord(folder, _first_facts(config, command, overrides))
        with _outcome(record):
            yield record
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO):
            raise
        raise OutputError(f"{folder}: {error.strerror or error}; free some space or set output.dir") from error
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def _outcome(record: RunRecord) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        code = stop.exit_code if isinstance(stop, Interrupted) else 130
        log.warning("interrupted, exit code %d", code)
        record.close("INTERRUPTED", code, str(stop))
        raise
    except Exception as error:
        log.exception("failed")
        record.close("FAILED", getattr(error, "exit_code", 1), f"{type(error).__name__}: {error}")
        raise
    record.close("COMPLETED", 0)


def _claim(folder: Path) -> None:
    """Make the folder and its run.json, which only one run can do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").touch(exist_ok=False)
    except FileExistsError as error:
        raise OutputError(
            f"{folder} holds a run already; choose another output.dir, or leave it to the runner"
        ) from error
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}; set output.dir to a folder you can write to") from error


def _log_file(path: Path) -> logging.Handler:
    handler = logging.FileHandler(path)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


def _first_facts(config: dict[str, Any], command: list[str], overrides: list[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "status": "RUNNING",
        "started": _now(),
        "command": command,
        "overrides": overrides,
        "config": config,
        "host": platform.node(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": package_versions(),
        "code": git_state(Path(__file__).parent),
        "passes": [],
    }


def package_versions() -> dict[str, str]:
    """The installed versions of what a result depends on; a package that is not there is left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanness of the checkout this code runs from; None when it was installed."""
    try:
        _git(folder, "ls-files", "--error-unmatch", "record.py")  # or it lies in somebody else's repository
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--", "."))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
