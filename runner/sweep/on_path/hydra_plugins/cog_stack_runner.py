"""Plugins of Hydra: the launcher `isolated`, and the sweeper that knows the section `sweep`."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from runner.base.overrides import key_of
from runner.config.overrides import as_hydra_reads, without_escapes
from runner.errors import ConfigError, SweepError
from runner.host.garbage import collect_as_usual

if TYPE_CHECKING:
    from runner.sweep.session import Session


class IsolatedLauncher(Launcher):
    """Runs each job in a fresh process, for any sweeper: a job's return value is that of `sweep.objective`."""

    def __init__(self) -> None:
        self._context: HydraContext | None = None
        self._config: DictConfig | None = None
        self._session: Session | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Keep the config that jobs are composed from; they run in processes of their own and need no task function."""
        self._context, self._config = hydra_context, config

    def session(self, question: Sequence[str]) -> "Session":
        """A sweep that has not been opened. Raises ConfigError for wrong settings of the sweep."""
        from runner.sweep.compose import Composer, refuse_folder  # noqa: PLC0415 - what a single run does not need
        from runner.sweep.session import Session  # noqa: PLC0415 - as above

        assert self._context is not None
        assert self._config is not None
        refuse_folder(self._config)
        collect_as_usual()
        logging.getLogger("runner").setLevel(logging.WARNING)  # plans of jobs are not news
        return Session(Composer(self._context, self._config), question)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Run the jobs of another sweeper's batch."""
        from runner.sweep.compose import as_typed, of_the_jobs  # noqa: PLC0415 - as above

        parser = OverridesParser.create()
        batch = [list(map(as_typed, of_the_jobs(parser.parse_overrides(list(typed))))) for typed in job_overrides]
        if self._session is None:
            self._session = self.session([override for overrides in batch for override in overrides])
        session, jobs = self._session, self._session.job_list
        if jobs.jobs:
            added = [jobs.add(overrides) for overrides in batch]
        else:
            fixed = [override for override in batch[0] if all(override in overrides for overrides in batch)]
            added = jobs.add_grid(fixed, batch, session.settings.baseline)
        with session.opened(whole=False):
            session.run(added)
        return [_returned(job.overrides, session.values(job)) for job in added[-len(batch) :]]  # without the baseline


class TuningSweeper(BasicSweeper):
    """Runs every combination of the swept values, or with the launcher `isolated` also a search among them."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs. Raises SweepError if one of them failed."""
        assert self.hydra_context is not None
        from runner.sweep.compose import as_typed, of_the_jobs, refuse_stacks  # noqa: PLC0415 - of sweeps alone
        from runner.sweep.search import search  # noqa: PLC0415 - as above

        typed = as_hydra_reads([*self._parse_config(), *arguments], multirun=True)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        parsed = parser.parse_overrides(typed)
        refuse_stacks(parsed)
        if not isinstance(self.launcher, IsolatedLauncher):
            return self._sweep_elsewhere(arguments)
        overrides = of_the_jobs(parsed)
        session = self.launcher.session([str(override.input_line) for override in overrides])
        fixed = [as_typed(override) for override in overrides if not override.is_sweep_override()]
        swept = [override for override in overrides if override.is_sweep_override()]
        if session.settings.search is not None:
            return search(session, fixed, swept)
        combinations = [[*fixed, *values] for values in itertools.product(*map(_values, swept))]
        jobs = session.job_list.add_grid(fixed, combinations, session.settings.baseline)
        with session.opened():
            session.run(jobs)
        return None

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose all jobs of a batch. If one cannot be, a folder that Hydra has just made for the sweep is removed."""
        try:
            super().validate_batch_is_legal(batch)
        except Exception:
            assert self.config is not None
            folder = Path(self.config.hydra.sweep.dir)
            if [file.name for file in folder.iterdir()] == ["multirun.yaml"]:
                rmtree(folder)
            raise

    def _sweep_elsewhere(self, arguments: list[str]) -> Any:
        """Run all jobs by another launcher of Hydra's; the task gives each job's exit code."""
        from runner.config.job_config import refuse_secrets  # noqa: PLC0415 - what a single run does not need here
        from runner.sweep.compose import refuse_folder  # noqa: PLC0415 - as above
        from runner.sweep.folder import refuse_files  # noqa: PLC0415 - as above

        assert self.config is not None
        refuse_folder(self.config)
        refuse_files(Path(self.config.hydra.sweep.dir), ["multirun.yaml"])
        refuse_secrets(self.config)  # before Hydra writes multirun.yaml
        own = [override for override in arguments if key_of(override).startswith("sweep.")]
        if own:
            raise ConfigError(f"{own[0]}: this is for hydra/launcher=isolated, which is not chosen")
        _forget_plugins()
        batches = super().sweep(arguments)
        codes = [job.return_value for batch in batches for job in batch]
        failed = [str(number) for number, code in enumerate(codes) if code]
        if failed:
            raise SweepError(f"{len(failed)} of {len(codes)} jobs did not complete: {', '.join(failed)}")
        return batches


def _forget_plugins() -> None:
    """Remove our plugins from Hydra's state, which launchers pickle for other machines, where jobs do not need them."""
    plugins = Plugins.instance()
    for plugin in (IsolatedLauncher, TuningSweeper):
        plugins.class_name_to_class.pop(f"{plugin.__module__}.{plugin.__name__}", None)
        for known in plugins.plugin_type_to_subclass_list.values():
            if plugin in known:
                known.remove(plugin)


def _values(override: Override) -> list[str]:
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: an interval has any number of values; set sweep.search=optuna, or give "
            "range(...), choice(...) or values with commas"
        )
    return [without_escapes(f"{override.get_key_element()}={value}") for value in override.sweep_string_iterator()]


def _returned(overrides: Sequence[str], values: Sequence[float] | None) -> JobReturn:
    """A job as Hydra's sweepers take it; one that failed has an error, which they may ignore."""
    done = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED if values else JobStatus.FAILED)
    failure = SweepError(f"{' '.join(overrides)}: did not complete; its job.json says why")
    done.return_value = failure if not values else values[0] if len(values) == 1 else tuple(values)
    return done
