"""A search over settings: optuna proposes, the sweep runs, optuna is told; what earlier runs left is told again."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from runner.base.console import tell
from runner.base.overrides import key_of, parse
from runner.errors import ConfigError
from runner.leaderboard.jobs import Job, JobRecord
from runner.sweep.session import Session

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

_KNOWN_IN_A_ROW = 30  # proposals of what was run already, after which all there is has been tried
_INSTALL = "pip install 'optuna>=4.2'"


def search(session: Session, fixed: Sequence[str], swept: Sequence[Override]) -> None:
    """Run `sweep.trials` settings of the swept keys, each as often as `sweep.repeats` says.

    Raises ConfigError if optuna is not installed or nothing is swept, SweepError if a run failed.
    """
    try:
        import optuna  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise ConfigError(f"sweep.search=optuna needs the package optuna: {_INSTALL}") from error
    if not swept:
        raise ConfigError("sweep.search=optuna: no key has more than one value; give KEY=interval(1,8), KEY=a,b")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {one.get_key_element(): distribution(one) for one in swept}
    session.swept = tuple(map(key_of, space))
    session.add_baseline(fixed)
    trials = _Search(session, list(fixed), space)
    trials.add_earlier()
    with session.opened():
        trials.run()


class _Search:
    def __init__(self, session: Session, fixed: list[str], space: "dict[str, BaseDistribution]") -> None:
        self._session, self._fixed, self._space = session, fixed, space
        self._known: dict[tuple[str, ...], Job] = {}

    def add_earlier(self) -> None:
        """The trials that an earlier sweep has begun, before any of it is changed."""
        self._session.find()
        for number, words in self._earlier().items():
            self._add(words, number)

    def run(self) -> None:
        """Every trial: first the baseline and those of an earlier sweep, then new ones."""
        settings, session = self._session.settings, self._session
        session.planned = settings.repeats * (max(settings.trials, self._trials) + bool(settings.baseline))
        session.run(session.jobs)
        study = self._study()
        while self._trials < settings.trials:
            if not self._asked(study, min(settings.n_jobs, settings.trials - self._trials)):
                tell(f"search: nothing new is proposed after {self._trials} trials; all there is has been tried")
                break
        session.end_search()

    @property
    def _trials(self) -> int:
        """How many jobs there are; the baseline is none, whatever proposes it."""
        return sum(not job.baseline for job in self._session.jobs)

    def _asked(self, study: "Study", count: int) -> list[Job]:
        """So many new jobs, proposed, run and told. What is known already is told at once, and counts as no trial."""
        asked: list[tuple[Trial, Job]] = []
        for _ in range(_KNOWN_IN_A_ROW):
            if len(asked) == count:
                break
            trial = study.ask(self._space)
            words = self._words(trial.params)
            is_new = words not in self._known
            job = self._add(words) if is_new else self._known[words]
            if is_new and not job.baseline:
                asked.append((trial, job))
            else:
                self._tell(study, trial, job)
        jobs = [job for _, job in asked]
        if jobs:
            self._session.run(jobs)
        for trial, job in asked:
            self._tell(study, trial, job)
        return jobs

    def _add(self, words: tuple[str, ...], number: int | None = None) -> Job:
        self._known[words] = self._session.add_trial([*self._fixed, *words], number)
        return self._known[words]

    def _words(self, values: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(f"{key}={_written(values[key])}" for key in self._space)

    # --- what optuna knows --------------------------------------------------------------------------------------------

    def _study(self) -> "Study":
        """A study that knows of all trials so far."""
        import optuna  # noqa: PLC0415 - as above

        settings = self._session.settings
        sampler = optuna.samplers.TPESampler(seed=settings.seed + len(self._known), constant_liar=settings.n_jobs > 1)
        study = optuna.create_study(sampler=sampler, directions=["minimize"] * len(settings.objective))
        for words, job in self._known.items():
            values = self._session.values(job)
            state = optuna.trial.TrialState.COMPLETE if values else optuna.trial.TrialState.FAIL
            params = {key: _read(of, parse(word).text)
                      for (key, of), word in zip(self._space.items(), words, strict=True)}  # fmt: skip
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=self._space, values=values, state=state)
            )
        return study

    def _tell(self, study: "Study", trial: "Trial", job: Job) -> None:
        import optuna  # noqa: PLC0415 - as above

        values = self._session.values(job)
        if values is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, values)

    def _earlier(self) -> dict[int, tuple[str, ...]]:
        """The swept words of each trial that an earlier sweep has begun, by and in the order of their numbers."""
        records = {record.job: record for record in self._session.sweep.records() if not record.baseline}
        return {number: self._swept_words(record) for number, record in sorted(records.items())}

    def _swept_words(self, record: JobRecord) -> tuple[str, ...]:
        given = {key: word for word in record.overrides for key in (word.partition("=")[0],)}
        return tuple(given[key] for key in self._space)


def distribution(override: Override) -> "BaseDistribution":
    """Of an override's values: a range of numbers, or a choice of words.

    An interval between whole numbers has whole numbers; its ends belong to it. Raises ConfigError for an empty one.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: PLC0415

    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = float(value.start or 0), float(value.end or 0), "log" in value.tags
        if low >= high or (log and low <= 0):
            raise ConfigError(f"{override.input_line}: wanted the lower end first{', above 0' if log else ''}")
        whole = low.is_integer() and high.is_integer() and not _has_point(override)
        return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
    choices = [str(one) for one in override.sweep_string_iterator()]
    if isinstance(value, RangeSweep) and all(one.lstrip("-").isdigit() for one in choices) and not value.shuffle:
        numbers = [int(one) for one in choices]
        return IntDistribution(min(numbers), max(numbers), step=abs(int(value.step)))
    return CategoricalDistribution(choices)


def _has_point(override: Override) -> bool:
    """Whether an interval was written with a decimal point, or as float(...): then it is of all numbers."""
    written = parse(str(override.input_line)).text
    return "." in written or "float" in written


def _written(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _read(of: "BaseDistribution", text: str) -> object:
    from optuna.distributions import FloatDistribution, IntDistribution  # noqa: PLC0415

    if isinstance(of, IntDistribution):
        return int(text)
    return min(max(float(text), of.low), of.high) if isinstance(of, FloatDistribution) else text
