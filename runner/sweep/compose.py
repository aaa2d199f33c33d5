"""The overrides of a job: composed and checked in the sweep's own process, and as the command line of the job's."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.utils import setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from runner.base.overrides import key_of
from runner.base.sizes import parse_bytes
from runner.config import job_config
from runner.config.messages import REFUSALS, explain
from runner.config.origins import located
from runner.config.overrides import refuse_overrides, without_escapes
from runner.config.value_checks import check_limits
from runner.config.vocabulary import config_dir
from runner.errors import ConfigError
from runner.record.config_hash import config_sha256
from runner.record.value_settings import chooses_scenes, chooses_values
from runner.settings import Action, JobSettings, SweepSettings

# Hydra's settings for the sweep; all others are handed on to its jobs.
_OF_THE_SWEEP = re.compile(r"[+~]*hydra[./](launcher|sweeper|sweep|run|mode)\b")
_OWN_FOLDER = "${hydra:runtime.output_dir}"  # each job's, from Hydra


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes jobs as Hydra would, from the config of the whole sweep."""

    context: HydraContext
    master: DictConfig

    @property
    def folder(self) -> Path:
        """The folder of a new sweep."""
        return Path(self.master.hydra.sweep.dir)

    @property
    def outputs(self) -> Path:
        """The folder of all sweeps: outputs/ for outputs/DATE/TIME_sweep."""
        above = self.folder.parent
        return above.parent if re.fullmatch(r"\d{4}-\d\d-\d\d", above.name) else above

    @property
    def overrides(self) -> list[str]:
        """The overrides of the command line, without Hydra's own."""
        return job_config.typed_words(self.master.hydra)

    def settings(self) -> SweepSettings:
        """The section `sweep`, checked. Raises ConfigError."""
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

    def tree(self, overrides: Sequence[str]) -> DictConfig:
        """The composed tree of a job. Raises ConfigError for an option or a key that does not exist."""
        setup_globals()
        try:
            return self.context.config_loader.load_sweep_config(self.master, [*overrides, "output.dir=sweep"])
        except REFUSALS as error:
            raise explain(error) from error

    def job(self, overrides: Sequence[str]) -> tuple[JobSettings, str]:
        """The checked job of these overrides, and the hash of its config. Raises ConfigError."""
        tree = self.tree(overrides)
        HydraConfig.instance().set_config(tree)
        choices = dict(tree.hydra.runtime.choices)
        with read_write(tree), open_dict(tree):
            del tree["hydra"]
        job = job_config.read_job(tree, choices)
        if job.action is Action.plan:
            raise ConfigError("action=plan: a sweep plans its jobs before it runs them; plan one of them without -m")
        return job, config_sha256(job_config.resolved(tree))

    def command(self, overrides: Sequence[str], folder: Path) -> list[str]:
        """The command line of a job that runs in `folder`."""
        place = quoted(str(folder))
        own = ["hydra.mode=RUN", f"hydra.run.dir={place}", f"output.dir={place}"]
        return [sys.executable, *_safe_path(), "-m", "runner", *self._flags(), *overrides, *self._handed_on(), *own]

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
        overrides = job_config.typed_words(self.master.hydra, "hydra")
        return (override for override in overrides if not _OF_THE_SWEEP.match(override))


def _safe_path() -> list[str]:
    """The flag that keeps a `runner.py` in the current folder from hiding this package."""
    return [] if Path(__file__).parents[2] == Path.cwd() else ["-P"]


# --- the section `sweep` ----------------------------------------------------------------------------------------------


def check_settings(sweep: SweepSettings) -> None:
    """Check the limits of a sweep's settings, and the overrides of its baseline. Raises ConfigError."""
    check_limits(sweep, "sweep.")
    checks = (
        ("objective", bool(sweep.objective), "[wall], [peak], or both"),
        ("prune", not (sweep.search and sweep.prune), "nothing with sweep.search"),
        ("memory_limit", memory_limit_bytes(sweep) != 0, "a size such as 2GiB"),
    )
    for key, holds, expected in checks:
        if not holds:
            raise ConfigError(f"sweep.{key}={getattr(sweep, key)}: wanted {expected}")
    refuse_overrides(sweep.baseline or [])
    for override in sweep.baseline or []:
        if key_of(override).startswith("sweep."):
            raise ConfigError(
                f"sweep.baseline={override}: this is a setting of the whole sweep; give overrides of a job, such as "
                "chunks=row"
            )


def memory_limit_bytes(sweep: SweepSettings) -> int | None:
    """`sweep.memory_limit` in bytes; 0 for text that is not a size."""
    if sweep.memory_limit is None:
        return None
    try:
        return max(0, parse_bytes(sweep.memory_limit))
    except ValueError:
        return 0


# --- overrides of the command line ------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """A value as Hydra's grammar reads it back, whatever its characters."""
    return text if re.fullmatch(r"[\w./-]+", text) else QuotedString(text, Quote.single).with_quotes()


def uploading(overrides: Sequence[str], address: str | None) -> list[str]:
    """The overrides of a job that uploads to this address, and to no other; None uploads nothing."""
    others = [override for override in overrides if key_of(override) != "output.upload"]
    return [*others, f"output.upload={'null' if address is None else quoted(address)}"]


def refuse_folder(tree: DictConfig) -> None:
    """Raise ConfigError for an `output.dir` in a config file, or on the command line."""
    output = OmegaConf.to_container(tree.output, enum_to_str=True)
    assert isinstance(output, dict)
    typed = [override for override in job_config.typed_words(tree.hydra) if key_of(override) == "output.dir"]
    if typed or output["dir"] != _OWN_FOLDER:
        raise _own_folder(typed[0] if typed else f"output.dir={output['dir']}")


def _own_folder(override: str) -> ConfigError:
    return ConfigError(
        f"{override}: each job of a sweep has a folder of its own; hydra.sweep.dir=FOLDER names the sweep's"
    )


def of_the_jobs(overrides: Iterable[Override]) -> list[Override]:
    """The overrides of jobs, without those of the sweep itself; of several for one key, the last.

    Raises ConfigError if a setting of the sweep itself has several values.
    """
    kept: dict[str, Override] = {}
    for override in overrides:
        key = override.key_or_group
        if key == "output.dir":
            raise _own_folder(str(override.input_line))
        if key == "sweep" or key.startswith("sweep."):
            if override.is_sweep_override():
                raise ConfigError(f"{override.input_line}: give one value, for the whole sweep")
        else:
            name = override.get_key_element()
            kept.pop(name, None)
            kept[name] = override
    return list(kept.values())


_TOGETHER: Final = {  # how values of these keys are taken in one run
    "source.url": "'source.url=[...]' lists all of them, and source.stack_by names the groups, such as [tile], that "
    "part them into stacks",
    "source.band": "source.bands=[...] lists the bands, and makes a stack of each as source.stack_by does of a group",
    "source.where": "source.stack_by names the group, and parts the scenes into a stack for each of its values",
    "source.bands": "source.bands=[...] lists all bands, and makes a stack of each as source.stack_by does of a group",
}
_APART: Final = "run each by itself, or all in one run whose scenes source.stack_by parts into stacks"
_FEWER: Final = "source.limit"  # which tells how time and memory grow with scenes


def refuse_stacks(overrides: Iterable[Override]) -> None:
    """Raise ConfigError for values that are other scenes or pixels, and not ways to compute one stack."""
    for override in overrides:
        key, line = override.key_or_group, override.input_line
        if not override.is_sweep_override() or not _asks_for_others(key):
            continue
        together = next((way for name, way in _TOGETHER.items() if key == name or key.startswith(f"{name}.")), None)
        if together:
            raise ConfigError(f"{line}: these are stacks of one archive, which are no sweep: without -m, {together}")
        raise ConfigError(f"{line}: a sweep compares ways to compute the same values, and these are others: {_APART}")


def _asks_for_others(key: str) -> bool:
    of_source = key.startswith("source.") and key != _FEWER
    return key == "source" or (of_source and (chooses_scenes(key) or chooses_values(key)))


def as_typed(override: Override) -> str:
    """An override with one value, as text."""
    return without_escapes(f"{override.get_key_element()}={override.get_value_element_as_str()}")
