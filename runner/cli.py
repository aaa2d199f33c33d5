"""The command line: compose with Hydra, check, run; each error in one line and an exit code of its own."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.base.command import COMMAND
from runner.base.console import complain, say, tell_notes, tell_traceback
from runner.base.overrides import key_of
from runner.base.streams import lost
from runner.config import job_config
from runner.config.arguments import flags_and_overrides
from runner.config.composed import composed_job, refuse_undecoded
from runner.config.messages import REFUSALS, explain
from runner.config.overrides import refuse_overrides
from runner.config.vocabulary import config_dir
from runner.errors import ConfigError, Interrupted, OutputError, RunnerError
from runner.host.signals import stop_on_signals
from runner.settings import Action
from runner.start import run_composed, show_plan_of
from runner.sweep import let_hydra_find_plugins

if TYPE_CHECKING:
    from runner.record.run_record import RunRecord

_NO_FOLDER: Final = "hydra.run.dir=."


def main() -> int:
    """Run what the command line asks for; exit code 0, 1 (failed), 2 (wrong setting), 129, 130 or 143 (stopped)."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let Hydra raise, so that we can explain
    stop_on_signals()
    try:
        return _compose_and_run(sys.argv[1:])
    except RunnerError as error:
        return _explain(error)
    except KeyboardInterrupt as stop:
        return _stopped(stop)
    except Exception as error:  # noqa: BLE001 - jobs catch their own; what is left was raised by Hydra
        return _explain(_wrong_setting(error))


def _compose_and_run(arguments: Sequence[str]) -> int:
    """Let Hydra compose the job, or the jobs of a multirun, and run each; the exit code of all."""
    refuse_undecoded(arguments)
    flags, overrides = flags_and_overrides(arguments)
    if "--version" in flags:
        _tell_version()
        return _refuse_lost()
    refuse_overrides(overrides)
    sys.argv[1:] = [*flags, *overrides, *_folder_of_hydra([*flags, *overrides])]  # flags first, as Hydra wants them
    codes: list[int] = []

    def run(tree: DictConfig) -> int:
        codes.append(_run(tree, overrides, first=not codes))
        return codes[-1]

    job_config.register_settings()
    let_hydra_find_plugins()
    try:
        _hydra_main(run)()
    except SystemExit as end:  # as after --help
        if end.code:
            raise
    if not codes:  # what Hydra was asked to show
        return _refuse_lost()
    return max(codes, default=0) if len(codes) == 1 else int(any(codes))


def _wrong_setting(error: Exception) -> ConfigError:
    """The user's error behind what was raised outside of a job."""
    if isinstance(error, REFUSALS):
        return explain(error)
    if isinstance(error, OSError):  # of the folder that Hydra makes
        where = error.filename or "the current folder"  # which may have been deleted
        return ConfigError(f"{where}: {error.strerror}; set output.dir, or go to a folder you can write to")
    return ConfigError(f"the settings cannot be composed: {type(error).__name__}: {error}")


def _folder_of_hydra(words: Sequence[str]) -> list[str]:
    """The override that keeps Hydra from making a folder of its own, where the current folder may be read-only.

    A job that names its folder needs none, nor does a plan, which writes nothing. The jobs of a multirun share a
    folder, which Hydra makes.
    """
    keys = set(map(key_of, words))
    elsewhere = ("output.dir" in keys or "action=plan" in words) and not keys & {"-m", "--multirun", "hydra.run.dir"}
    return [_NO_FOLDER] if elsewhere else []


def _tell_version() -> None:
    from importlib.metadata import version  # noqa: PLC0415 - mail and archives, for this alone

    say(f"{COMMAND} {version(COMMAND)} (hydra-core {version('hydra-core')}, Python {sys.version.split()[0]})")


def _refuse_lost() -> int:
    """0, the exit code of a command that is for its text alone. Raises OutputError if that could not be written."""
    refusal = lost(sys.stdout)
    if refusal is not None:
        raise OutputError(f"stdout cannot be written: {refusal.strerror}")
    return 0


def _hydra_main(task: Callable[[DictConfig], int]) -> Callable[[], Any]:
    folder = str(config_dir())
    decorated: Callable[[], Any] = hydra.main(version_base="1.3", config_path=folder, config_name="config")(task)
    return decorated


def _run(tree: DictConfig, typed: Sequence[str], *, first: bool) -> int:
    """One job of this command, the first of its process or another; its exit code."""
    with_traceback = _wants_traceback(tree)
    try:
        _run_job(tree, typed, first=first)
    except RunnerError as error:
        return _explain(error, with_traceback)
    except Exception as error:  # noqa: BLE001 - the last stop: a user gets one line, the log has the traceback
        fault = RunnerError(f"{type(error).__name__}: {error}. This is a fault of the runner; debug=trace shows where")
        fault.__cause__ = error
        return _explain(fault, with_traceback)
    finally:
        _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))
    return 0


def _wants_traceback(tree: DictConfig) -> bool:
    try:
        return bool(OmegaConf.select(tree, "debug.traceback"))
    except OmegaConfBaseException:  # reported when the job is read
        return False


def _run_job(tree: DictConfig, typed: Sequence[str], *, first: bool) -> None:
    composed = composed_job(tree, typed, [word for word in sys.argv if word != _NO_FOLDER])
    if composed.job.action is Action.plan:
        show_plan_of(composed.job)
        _refuse_lost()
        return
    run_composed(composed, _put_imports if first else lambda _: None)


def _put_imports(record: "RunRecord") -> None:
    """Record the time that this process took before its first run began."""
    from runner.host.memory import process_seconds  # noqa: PLC0415 - what a plan does not need

    record.put_phase("imports", process_seconds() - record.seconds)


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
        tell_traceback(error.__cause__ or error)
    complain(str(error))
    tell_notes(error.__cause__ if error.__cause__ and not hasattr(error, "__notes__") else error)
    return error.exit_code


def _stopped(stop: BaseException) -> int:
    code = stop.exit_code if isinstance(stop, Interrupted) else 130
    of_a_run = hasattr(stop, "__notes__")  # which name its report
    complain(f"interrupted{'; what was finished stays, and run.json says INTERRUPTED' if of_a_run else ''}")
    tell_notes(stop)
    return code
