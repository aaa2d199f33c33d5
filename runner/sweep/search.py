"""A search over settings: optuna proposes, the sweep runs, optuna gets the results, and those of earlier runs too."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from runner.base.console import tell
from runner.base.overrides import key_of
from runner.errors import ConfigError
from runner.leaderboard.records import JobRecord
from runner.sweep.jobs import Job
from runner.sweep.session import Session

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

_KNOWN_IN_A_ROW = 30  # proposals that have run before, after which all combinations count as tried
_INSTALL = "pip install 'optuna>=4.2'"


def search(session: Session, fixed: Sequence[str], swept: Sequence[Override]) -> None:
    """Run `sweep.trials` settings of the swept keys, each as often as `sweep.repeats` says.

    Raises ConfigError if optuna is not installed, nothing is swept, or a value does not exist; SweepError if a run
    failed.
    """
    try:
        import optuna  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise ConfigError(f"sweep.search=optuna needs the package optuna: {_INSTALL}") from error
    if not swept:
        raise ConfigError("sweep.search=optuna: no key has more than one value; give KEY=interval(1,8), KEY=a,b")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {override.get_key_element(): distribution(override) for override in swept}
    _refuse_impossible(session, fixed, space)
    session.job_list.swept = tuple(map(key_of, space))
    session.job_list.add_baseline(fixed, session.settings.baseline)
    trials = _Search(session, list(fixed), space)
    trials.add_earlier()
    with session.opened():
        trials.run()


def _refuse_impossible(session: Session, fixed: Sequence[str], space: "dict[str, BaseDistribution]") -> None:
    """Raise ConfigError for an option or a key that does not exist, before anything runs."""
    for key, values in space.items():
        for value in getattr(values, "choices", None) or [getattr(values, "low", None)]:
            session.composer.tree([*fixed, f"{key}={_written(value)}"])


class _Search:
    def __init__(self, session: Session, fixed: list[str], space: "dict[str, BaseDistribution]") -> None:
        self._session, self._fixed, self._space = session, fixed, space
        self._known: dict[tuple[str, ...], Job] = {}

    def add_earlier(self) -> None:
        """Add the trials that an earlier sweep has started, before anything in its folder changes."""
        self._session.find()
        for number, overrides in self._earlier().items():
            self._add(overrides, number)

    def run(self) -> None:
        """Run every trial: first the baseline and those of an earlier sweep, then new ones."""
        settings, session = self._session.settings, self._session
        session.planned = settings.repeats * (max(settings.trials, self._trials) + bool(settings.baseline))
        session.run(session.job_list.jobs)
        study = self._study()
        while self._trials < settings.trials:
            if not self._run_proposals(study, min(settings.n_jobs, settings.trials - self._trials)):
                tell(f"search: nothing new is proposed after {self._trials} trials; all combinations have been tried")
                break
        session.end_search()

    @property
    def _trials(self) -> int:
        """The number of jobs without the baseline, even if it was proposed."""
        return sum(not job.baseline for job in self._session.job_list.jobs)

    def _run_proposals(self, study: "Study", count: int) -> list[Job]:
        """Run `count` new jobs. A proposal that has run before is answered at once, and does not count as a trial."""
        proposals: list[tuple[Trial, Job]] = []
        for _ in range(_KNOWN_IN_A_ROW):
            if len(proposals) == count:
                break
            trial = study.ask(self._space)
            overrides = self._overrides(trial.params)
            is_new = overrides not in self._known
            job = self._add(overrides) if is_new else self._known[overrides]
            if is_new and not job.baseline:
                proposals.append((trial, job))
            else:
                self._answer(study, trial, job)
        jobs = [job for _, job in proposals]
        if jobs:
            self._session.run(jobs)
        for trial, job in proposals:
            self._answer(study, trial, job)
        return jobs

    def _add(self, overrides: tuple[str, ...], number: int | None = None) -> Job:
        self._known[overrides] = self._session.job_list.add_trial([*self._fixed, *overrides], number)
        return self._known[overrides]

    def _overrides(self, values: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(f"{key}={_written(values[key])}" for key in self._space)

    # --- optuna -------------------------------------------------------------------------------------------------------

    def _study(self) -> "Study":
        """A study with all trials so far."""
        import optuna  # noqa: PLC0415 - as above

        settings = self._session.settings
        sampler = optuna.samplers.TPESampler(seed=settings.seed + len(self._known), constant_liar=settings.n_jobs > 1)
        study = optuna.create_study(sampler=sampler, directions=["minimize"] * len(settings.objective))
        for overrides, job in self._known.items():
            values = self._session.values(job)
            state = optuna.trial.TrialState.COMPLETE if values else optuna.trial.TrialState.FAIL
            params = {key: _read(values_of, override.partition("=")[2])
                      for (key, values_of), override in zip(self._space.items(), overrides, strict=True)}  # fmt: skip
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=self._space, values=values, state=state)
            )
        return study

    def _answer(self, study: "Study", trial: "Trial", job: Job) -> None:
        import optuna  # noqa: PLC0415 - as above

        values = self._session.values(job)
        if values is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, values)

    def _earlier(self) -> dict[int, tuple[str, ...]]:
        """The swept overrides of each trial that an earlier sweep has started, in the order of their numbers."""
        records = {record.job: record for record in self._session.sweep.records() if not record.baseline}
        return {number: self._swept(record) for number, record in sorted(records.items())}

    def _swept(self, record: JobRecord) -> tuple[str, ...]:
        given = {override.partition("=")[0]: override for override in record.overrides}
        return tuple(given[key] for key in self._space)


def distribution(override: Override) -> "BaseDistribution":
    """The values of an override: a range of numbers, or a choice of texts.

    An interval between whole numbers has whole numbers and includes its ends. Raises ConfigError for an empty one.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: PLC0415

    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = float(value.start or 0), float(value.end or 0), "log" in value.tags
        if low >= high or (log and low <= 0):
            raise ConfigError(f"{override.input_line}: wanted the lower end first{', above 0' if log else ''}")
        whole = low.is_integer() and high.is_integer() and not _has_point(override)
        return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
    choices = [str(choice) for choice in override.sweep_string_iterator()]
    if isinstance(value, RangeSweep) and all(choice.lstrip("-").isdigit() for choice in choices) and not value.shuffle:
        numbers = [int(choice) for choice in choices]
        return IntDistribution(min(numbers), max(numbers), step=abs(int(value.step)))
    return CategoricalDistribution(choices)


def _has_point(override: Override) -> bool:
    """True if an interval was written with a decimal point, or as float(...): then it has all numbers."""
    written = str(override.input_line).partition("=")[2]
    return "." in written or "float" in written


def _written(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _read(values: "BaseDistribution", text: str) -> object:
    from optuna.distributions import FloatDistribution, IntDistribution  # noqa: PLC0415

    if isinstance(values, IntDistribution):
        return int(text)
    return min(max(float(text), values.low), values.high) if isinstance(values, FloatDistribution) else text
