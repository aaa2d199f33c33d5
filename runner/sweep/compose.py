"""The words of a job: composed and checked in the sweep's own process, and as the command line of the job's process."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask.utils import parse_bytes
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.base.overrides import names_folder, quoted_if_needed
from runner.config import job_config
from runner.config.messages import explain
from runner.config.origins import located
from runner.config.overrides import without_escapes
from runner.config.vocabulary import config_dir
from runner.errors import ConfigError
from runner.record.run_record import config_sha256
from runner.settings import Action, JobSettings, SweepSettings
from runner.sweep.baseline import check_baseline

# Hydra's settings that are the sweep's; all others are handed on to its jobs.
_OF_THE_SWEEP = re.compile(r"[+~]*hydra[./](launcher|sweeper|sweep|run|mode)\b")
_PLACES = ("output.dir",)
_OWN_FOLDER = "${hydra:runtime.output_dir}"  # of each job, as Hydra gives it


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes jobs as Hydra would, from the config of the whole sweep."""

    context: HydraContext
    master: DictConfig

    @property
    def folder(self) -> Path:
        """Where a new sweep goes."""
        return Path(self.master.hydra.sweep.dir)

    @property
    def outputs(self) -> Path:
        """Where sweeps lie: of outputs/DATE/TIME_sweep it is outputs/."""
        above = self.folder.parent
        return above.parent if re.fullmatch(r"\d{4}-\d\d-\d\d", above.name) else above

    @property
    def words(self) -> list[str]:
        """The overrides of the command line, but Hydra's own."""
        return job_config.typed_words(self.master.hydra)

    def facts(self) -> dict[str, Any]:
        """The section `sweep` as plain values."""
        facts = OmegaConf.to_container(self.master.sweep, resolve=True, enum_to_str=True)
        assert isinstance(facts, dict)
        return {str(key): value for key, value in facts.items()}

    def settings(self) -> SweepSettings:
        """The section `sweep`. Raises ConfigError for a value that cannot be."""
        try:
            settings = OmegaConf.to_object(self.master.sweep)
        except OmegaConfBaseException as error:
            raise explain(error) from error
        assert isinstance(settings, SweepSettings)
        try:
            check_settings(settings)
        except ConfigError as error:
            raise located(error) from error.__cause__
        return settings

    def job(self, words: Sequence[str]) -> tuple[JobSettings, str]:
        """The checked job of these words, and the hash of its config. Raises ConfigError."""
        setup_globals()
        try:
            tree = self.context.config_loader.load_sweep_config(self.master, [*words, "output.dir=sweep"])
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise explain(error) from error
        HydraConfig.instance().set_config(tree)
        choices = dict(tree.hydra.runtime.choices)
        with read_write(tree), open_dict(tree):
            del tree["hydra"]
        job = job_config.read_job(tree, choices)
        if job.action is Action.plan:
            raise ConfigError("action=plan: a sweep plans its jobs before it runs them; plan one of them without -m")
        return job, config_sha256(job_config.resolved(tree))

    def command(self, words: Sequence[str], folder: Path) -> list[str]:
        """The command line of a job that runs in `folder`."""
        place = quoted_if_needed(str(folder))
        own = ["hydra.mode=RUN", f"hydra.run.dir={place}", f"output.dir={place}"]
        return [sys.executable, *_safe_path(), "-m", "runner", *self._flags(), *words, *self._handed_on(), *own]

    def _flags(self) -> Iterator[str]:
        hydra = self.master.hydra
        for source in hydra.runtime.config_sources:
            if source.provider == "command-line":
                yield from ("--config-dir", str(source.path))
            elif source.provider == "main" and source.path != str(config_dir()):
                yield from ("--config-path", str(source.path))
        if hydra.job.config_name != "config":
            yield from ("--config-name", hydra.job.config_name)

    def _handed_on(self) -> Iterator[str]:
        return (word for word in job_config.typed_words(self.master.hydra, "hydra") if not _OF_THE_SWEEP.match(word))


def _safe_path() -> list[str]:
    """The flag with which a `runner.py` of the user's, in the current folder, does not come before this package."""
    return [] if Path(__file__).parents[2] == Path.cwd() else ["-P"]


def check_settings(sweep: SweepSettings) -> None:
    """Check how a sweep is to be run, and the words of its baseline. Raises ConfigError."""
    job_config.check_limits(sweep, "sweep.")
    wanted = (
        ("objective", bool(sweep.objective), "[wall], [peak], or both"),
        ("prune", not (sweep.search and sweep.prune), "nothing with sweep.search"),
        ("memory_limit", memory_limit_bytes(sweep) != 0, "a size such as 2GiB"),
    )
    for key, holds, what in wanted:
        if not holds:
            raise ConfigError(f"sweep.{key}={getattr(sweep, key)}: wanted {what}")
    check_baseline(sweep.baseline or [])


def memory_limit_bytes(sweep: SweepSettings) -> int | None:
    """`sweep.memory_limit`; 0 for what is no size."""
    if sweep.memory_limit is None:
        return None
    try:
        return max(0, int(parse_bytes(sweep.memory_limit)))
    except ValueError:
        return 0


def own_folder(word: str) -> ConfigError:
    """For an `output.dir`, which no two jobs can have."""
    return ConfigError(f"{word}: each job of a sweep has a folder of its own; hydra.sweep.dir=FOLDER names the sweep's")


def refuse_place(tree: DictConfig) -> None:
    """Raise ConfigError for an `output.dir` of a config file, or of the command line."""
    place = OmegaConf.to_container(tree.output, enum_to_str=True)
    assert isinstance(place, dict)
    named = [word for word in job_config.typed_words(tree.hydra) if names_folder(word)]
    if named or place["dir"] != _OWN_FOLDER:
        raise own_folder(named[0] if named else f"output.dir={place['dir']}")


def of_the_jobs(overrides: Iterable[Override]) -> list[Override]:
    """Without what is the sweep's own, and each key once: the last word on it. Raises ConfigError for swept settings
    of the sweep itself.
    """
    kept: dict[str, Override] = {}
    for override in overrides:
        key = override.key_or_group
        if key in _PLACES:
            raise own_folder(str(override.input_line))
        if key == "sweep" or key.startswith("sweep."):
            if override.is_sweep_override():
                raise ConfigError(f"{override.input_line}: give one value, which is the whole sweep's")
        else:
            name = override.get_key_element()
            kept.pop(name, None)
            kept[name] = override
    return list(kept.values())


def word_of(override: Override) -> str:
    """An override that is not swept, as a word."""
    return without_escapes(f"{override.get_key_element()}={override.get_value_element_as_str()}")
