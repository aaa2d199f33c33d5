"""Commands as typed, but within this process, which spares the second of imports that a process of its own takes."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from runner import cli
from runner.log import cli as log_cli


def typed(
    cwd: Path, *words: object, check: bool = False, env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """`python -m runner ...` in this folder; no signals are caught. Raises CalledProcessError if it fails and must not.

    Keyword arguments are those of subprocess.run.
    """
    texts = [*map(str, words)]
    with mock.patch.dict(os.environ, env or {}, clear=env is not None):
        done = _done(cwd, texts)
    if check:
        done.check_returncode()
    return done


def _done(cwd: Path, texts: list[str]) -> CompletedProcess[str]:
    look = texts[:1] == ["log"]
    stdout, stderr, level = io.StringIO(), io.StringIO(), logging.getLogger().level
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch("runner.host.signals.stop_on_signals"),
        mock.patch("runner.cli.stop_on_signals"),
        mock.patch.object(sys, "argv", ["runner.log", *texts[1:]] if look else ["runner", *texts]),
    ):
        try:
            code = log_cli.main(texts[1:]) if look else cli.main()
        except SystemExit as stop:  # argparse's
            code = int(str(stop.code))
        finally:
            logging.getLogger().setLevel(level)
    return CompletedProcess(texts, code, stdout.getvalue(), stderr.getvalue())
