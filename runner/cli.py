"""The command line: compose with Hydra, check, run; errors in one line and an exit code that tells."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner import config
from runner.console import complain, tell, tell_notes
from runner.errors import ConfigError, Interrupted, RunnerError
from runner.log.redact import redact, redact_tree
from runner.settings import Action
from runner.signals import heeded_signals
from runner.summary import describe_end, shown
from runner.sweep.plugins import let_hydra_find_plugins
from runner.sweep.words import as_hydra_reads

_NO_FOLDER: Final = "hydra.run.dir=."


def main() -> int:
    """Run what the command line asks for; exit code 0, 1 (failed), 2 (wrong setting), 129, 130 or 143 (stopped)."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let Hydra raise, so that we can explain
    stop_on_signals()
    codes: list[int] = []

    def run(tree: DictConfig) -> int:
        codes.append(_run(tree))
        return codes[-1]

    try:
        _refuse_undecoded(sys.argv[1:])
        config.refuse_overrides(sys.argv[1:])
        sys.argv[1:] = [*map(as_hydra_reads, sys.argv[1:]), *_folder_of_hydra(sys.argv[1:])]
        config.register_settings()
        let_hydra_find_plugins()
        _hydra_main(run)()
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        return _explain(config.explain(error))
    except RunnerError as error:
        return _explain(error)
    except KeyboardInterrupt as stop:
        return _stopped(stop)
    except OSError as error:  # of the folder that Hydra makes
        problem = f"{error.filename}: {error.strerror}"
        return _explain(ConfigError(f"{problem}; set output.dir, or go to a folder you can write to"))
    except Exception as error:  # noqa: BLE001 - jobs catch their own; what Hydra raises in other words is a setting
        return _explain(ConfigError(f"the settings cannot be composed: {type(error).__name__}: {error}"))
    return max(codes, default=0) if len(codes) == 1 else int(any(codes))


def _refuse_undecoded(words: Sequence[str]) -> None:
    """Refuse bytes that are no text here, which nothing could be named or written by."""
    for word in words:
        if not word.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise ConfigError(
                f"{redact(ascii(word))}: not text in this locale's encoding, {sys.getfilesystemencoding()}; set "
                "PYTHONUTF8=1 if it is UTF-8, or name the file by a pattern"
            )


def _folder_of_hydra(words: Sequence[str]) -> list[str]:
    """What keeps Hydra from making a folder of its own, in a current folder that may be read-only, for a job with one.

    The jobs of a multirun share a folder, which is Hydra's to make.
    """
    keys = {word.partition("=")[0].lstrip("+") for word in words}
    elsewhere = "output.dir" in keys and not keys & {"-m", "--multirun", "hydra.run.dir"}
    return [_NO_FOLDER] if elsewhere else []


def _hydra_main(task: Callable[[DictConfig], int]) -> Callable[[], Any]:
    folder = str(config.config_dir())
    decorated: Callable[[], Any] = hydra.main(version_base="1.3", config_path=folder, config_name="config")(task)
    return decorated


def _run(tree: DictConfig) -> int:
    """One job of this command; its exit code."""
    with_traceback = bool(OmegaConf.select(tree, "debug.traceback"))
    try:
        _run_job(tree)
    except RunnerError as error:
        return _explain(error, with_traceback)
    except Exception as error:  # noqa: BLE001 - the last stop: a user gets one line, the log has the traceback
        fault = RunnerError(f"{type(error).__name__}: {error}. This is a fault of the runner; debug=trace shows where")
        fault.__cause__ = error
        return _explain(fault, with_traceback)
    finally:
        _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))
    return 0


def _run_job(tree: DictConfig) -> None:
    hydra_config = HydraConfig.get()
    job = config.read_job(tree, dict(hydra_config.runtime.choices))
    _refuse_sweep_words(hydra_config.overrides.task)
    from runner import job as story  # noqa: PLC0415 - a wrong setting is told before a second of imports
    from runner.log.record import recorded_run  # noqa: PLC0415 - as above

    if job.action is Action.plan:
        story.show_plan(job)
        return
    folder = Path(job.output.dir).expanduser().absolute()
    overrides = [redact(text) for text in hydra_config.overrides.task]
    command = [redact(text) for text in sys.argv if text != _NO_FOLDER]
    with recorded_run(folder, config.resolved(tree), command, overrides) as record, _page_noted(folder):
        keep_config(folder, tree, overrides)
        story.run_job(job, record)
    tell(describe_end(folder, record.seconds))


@contextmanager
def _page_noted(folder: Path) -> Iterator[None]:
    """Note on what ends the run where its page is, which is made afterwards; how to go on comes last."""
    try:
        yield
    except BaseException as error:
        notes = [f"report: {shown(folder / 'report.html')}", *getattr(error, "__notes__", ())]
        error.__notes__ = notes
        raise


def _refuse_sweep_words(words: Sequence[str]) -> None:
    for word in words:
        if word.lstrip("+~").startswith("sweep."):
            raise ConfigError(f"{word}: this is a single job; give -m and hydra/launcher=isolated for a sweep")


def keep_config(folder: Path, tree: DictConfig, overrides: list[str]) -> None:
    """What Hydra itself would leave in .hydra/, without secrets."""
    kept = folder / ".hydra"
    kept.mkdir(exist_ok=True)
    plain = OmegaConf.to_container(tree, enum_to_str=True)
    assert isinstance(plain, dict)
    plain.pop("sweep", None)  # no setting of the job
    OmegaConf.save(redact_tree(plain), kept / "config.yaml")
    OmegaConf.save(overrides, kept / "overrides.yaml")


def _remove_if_empty(folder: Path) -> None:
    """Hydra makes a folder before a job is checked; a job that left nothing leaves no folder, nor those around it."""
    for path in (folder, *folder.parents):
        if path == Path.cwd():
            return
        try:
            path.rmdir()
        except OSError:  # not empty
            return


def _explain(error: RunnerError, with_traceback: bool = False) -> int:
    if with_traceback:
        sys.stderr.write(redact("".join(traceback.format_exception(error.__cause__ or error))))
    complain(redact(str(error)))
    tell_notes(error.__cause__ if error.__cause__ and not hasattr(error, "__notes__") else error)
    return error.exit_code


def _stopped(stop: BaseException) -> int:
    code = stop.exit_code if isinstance(stop, Interrupted) else 130
    complain("interrupted; what was finished stays, and run.json says INTERRUPTED if the run had begun")
    tell_notes(stop)
    return code


def stop_on_signals() -> None:
    """Ctrl-C, SIGTERM and a terminal that closes unwind the run, so that workers are closed; a second one ends it."""
    numbers = heeded_signals()

    def stop(number: int, _frame: FrameType | None) -> None:
        for again in numbers:
            signal.signal(again, lambda number, _frame: os._exit(128 + number))
        raise Interrupted(number)

    for number in numbers:
        signal.signal(number, stop)
