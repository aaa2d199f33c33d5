"""What Hydra calls: the launcher `isolated`, and the sweeper that knows the section `sweep`."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
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

if TYPE_CHECKING:
    from runner.sweep.session import Session


class IsolatedLauncher(Launcher):
    """Each job in a fresh process. It serves any sweeper: a job's return value is what `sweep.objective` says."""

    def __init__(self) -> None:
        self._context: HydraContext | None = None
        self._config: DictConfig | None = None
        self._session: Session | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Keep what jobs are composed from; they run in processes of their own and need no task function."""
        self._context, self._config = hydra_context, config

    def session(self, question: Sequence[str]) -> "Session":
        """A sweep that has not been opened. Raises ConfigError for settings that cannot be."""
        from runner.sweep.compose import Composer, refuse_place  # noqa: PLC0415 - what a single run does not need
        from runner.sweep.session import Session  # noqa: PLC0415 - as above

        assert self._context is not None
        assert self._config is not None
        refuse_place(self._config)
        logging.getLogger("runner").setLevel(logging.WARNING)  # what is logged while jobs are planned is no news
        return Session(Composer(self._context, self._config), question)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Run the jobs of another sweeper's batch."""
        from runner.sweep.compose import of_the_jobs, word_of  # noqa: PLC0415 - as above

        parser = OverridesParser.create()
        several = [list(map(word_of, of_the_jobs(parser.parse_overrides(list(words))))) for words in job_overrides]
        if self._session is None:
            self._session = self.session([word for words in several for word in words])
        before = len(self._session.jobs)
        fixed = [word for word in several[0] if all(word in words for words in several)]
        jobs = self._session.add(several) if before else self._session.add_grid(fixed, several)
        with self._session.opened(whole=False):
            self._session.run(jobs)
        return [_returned(job.words, self._session.values(job)) for job in jobs]


class TuningSweeper(BasicSweeper):
    """Every combination of the swept values; with the launcher `isolated` also a search among them."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs. Raises SweepError if one of them failed."""
        assert self.hydra_context is not None
        if not isinstance(self.launcher, IsolatedLauncher):
            return self._sweep_elsewhere(arguments)
        from runner.sweep.compose import of_the_jobs, word_of  # noqa: PLC0415 - what a single run does not need
        from runner.sweep.search import search  # noqa: PLC0415 - as above

        words = as_hydra_reads([*self._parse_config(), *arguments], multirun=True)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = of_the_jobs(parser.parse_overrides(words))
        session = self.launcher.session([str(override.input_line) for override in overrides])
        fixed = [word_of(one) for one in overrides if not one.is_sweep_override()]
        swept = [one for one in overrides if one.is_sweep_override()]
        if session.settings.search is not None:
            return search(session, fixed, swept)
        session.add_grid(fixed, [[*fixed, *words] for words in itertools.product(*map(_words, swept))])
        with session.opened():
            session.run(session.jobs)
        return None

    def _sweep_elsewhere(self, arguments: list[str]) -> Any:
        """By Hydra's own launchers, or another package's; the task gives each job's exit code."""
        from runner.config.job_config import refuse_secrets  # noqa: PLC0415 - what a single run does not need here
        from runner.leaderboard.sweep_folder import refuse_others  # noqa: PLC0415 - as above
        from runner.sweep.compose import refuse_place  # noqa: PLC0415 - as above

        assert self.config is not None
        refuse_place(self.config)
        refuse_others(Path(self.config.hydra.sweep.dir), ["multirun.yaml"])
        refuse_secrets(self.config)  # before Hydra writes multirun.yaml
        own = [word for word in arguments if key_of(word).startswith("sweep.")]
        if own:
            raise ConfigError(f"{own[0]}: this is for hydra/launcher=isolated, which is not chosen")
        _forget_plugins()
        batches = super().sweep(arguments)
        codes = [one.return_value for batch in batches for one in batch]
        failed = [str(number) for number, code in enumerate(codes) if code]
        if failed:
            raise SweepError(f"{len(failed)} of {len(codes)} jobs did not complete: {', '.join(failed)}")
        return batches


def _forget_plugins() -> None:
    """Launchers that pickle Hydra's state for other machines would name ours, which a job there needs none of."""
    plugins = Plugins.instance()
    for plugin in (IsolatedLauncher, TuningSweeper):
        plugins.class_name_to_class.pop(f"{plugin.__module__}.{plugin.__name__}", None)
        for known in plugins.plugin_type_to_subclass_list.values():
            if plugin in known:
                known.remove(plugin)


def _words(override: Override) -> list[str]:
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: an interval has no end of values; set sweep.search=optuna, or give range(...), "
            "choice(...) or values with commas"
        )
    return [without_escapes(f"{override.get_key_element()}={value}") for value in override.sweep_string_iterator()]


def _returned(words: Sequence[str], values: Sequence[float] | None) -> JobReturn:
    """A job as Hydra's sweepers take it; one that failed raises what they may pass over."""
    done = JobReturn(overrides=list(words), status=JobStatus.COMPLETED if values else JobStatus.FAILED)
    failure = SweepError(f"{' '.join(words)}: did not complete; its job.json says why")
    done.return_value = failure if not values else values[0] if len(values) == 1 else tuple(values)
    return done
