"""The winner as an experiment: `experiment/best.yaml` in the sweep's folder, where Hydra looks for `experiment=best`.

It says what the winner's config has besides the defaults: options of config groups by name, and single values. What it
composes to is held against the winner's own config before it is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.base import humanize
from runner.base.atomic import write_text
from runner.base.tree import flat
from runner.config import job_config
from runner.config.bounded_yaml import load_yaml
from runner.config.overrides import for_each_stage
from runner.config.vocabulary import STAGES, config_dir, is_option
from runner.errors import ConfigError, OutputError, RecordError
from runner.leaderboard.board import Leaderboard
from runner.leaderboard.rows import Row
from runner.leaderboard.sweep_folder import BEST_FOLDER
from runner.record.run_folder import RunFolder, read_run

BEST: Final = f"{BEST_FOLDER}/best.yaml"
_NOT_THE_JOBS: Final = ("output.dir", "sweep", "hydra")  # keys, or the first part of keys
_FREE: Final = ("gdal.options.", "stages.")  # where a config may have fewer keys than another
_CLUSTERS: Final = tuple(f"cluster@stages.{stage}.cluster" for stage in STAGES)
_GONE: Final = object()


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a config group, `option` None for one that is left out; `added` to what the defaults have."""

    group: str
    package: str | None
    option: str | None
    added: bool = False

    @property
    def key(self) -> str:
        """As in a defaults list."""
        return f"/{self.group}@{self.package}" if self.package else f"/{self.group}"


def write_best(board: Leaderboard) -> Path | None:
    """Write the winner's config and give its path; what an earlier look has left is removed before.

    Raises OutputError if it cannot be written, RecordError if the winner's config cannot be read or composed any more.
    """
    path = board.sweep.path / BEST
    if path.parent.is_symlink():
        raise OutputError(f"{path.parent} is a link, and a sweep writes only into its own folder; remove the link")
    path.unlink(missing_ok=True)
    if board.best is None:
        return None
    run = next((one.run for one in board.best.completed if one.run), None) or read_run(board.best.completed[0].path)
    said = _said(board, board.best, run)
    path.parent.mkdir(exist_ok=True)
    write_text(path, said)
    return path


def _said(board: Leaderboard, best: Row, run: RunFolder) -> str:
    """The whole file."""
    wanted = _own(_stored_config(run))
    try:
        choices = list(_choices(best.attempts[0].overrides))
        base = _own(_composed(choices))
        body = _body(choices, base, wanted)
        lost = _lost(body, wanted)
    except (HydraException, OmegaConfBaseException, ConfigError) as error:
        raise RecordError(f"{run.path}: its config cannot be composed by this version: {error}") from error
    lines = [*_origin(board, best, run), *([f"but without its {', '.join(lost)}"] if lost else [])]
    comment = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    return f"# @package _global_\n{comment}{body}"


def _origin(board: Leaderboard, best: Row, run: RunFolder) -> Iterator[str]:
    """Where it comes from: for the comment."""
    facts = run.facts
    many = f", the median of {len(best.walls)} runs" if len(best.walls) > 1 else ""
    ratio = "" if best.ratio is None or best.baseline else f", {best.ratio:.3g}x the baseline's speed"
    memory = facts.get("memory_bytes")
    machine = f"{facts.get('host')}, {facts.get('cores')} cores, {humanize.size(memory)}, {facts.get('platform')}"
    jobs = humanize.plural(len(board.rows), "job")
    yield f"The best of {jobs} of the sweep {board.sweep.path.name}: {board.names[best.job]}"
    yield f"{humanize.seconds(best.wall_seconds)}{many}, {humanize.size(best.peak_bytes)}{ratio}; job {best.job}"
    yield f"on {board.sweep.started:%Y-%m-%d}, on {machine}"


# --- choices of groups ------------------------------------------------------------------------------------------------


def _choices(words: Sequence[str]) -> Iterator[Choice]:
    """Of the words of a command line, and of an experiment among them, those that choose an option of our groups."""
    own: dict[str, Choice] = {}
    for override in OverridesParser.create().parse_overrides(for_each_stage(words, STAGES, _CLUSTERS)):
        group, option = override.key_or_group, override.value()
        if group == "experiment" and isinstance(option, str):
            own = {choice.key: choice for choice in _experiment_choices(option)} | own
        elif override.is_delete() and _is_group(group):
            own[Choice(group, override.package, None).key] = Choice(group, override.package, None)
        elif isinstance(option, str) and _is_option(group, option):
            choice = Choice(group, override.package, option, override.is_add())
            own[choice.key] = choice
    yield from own.values()


def _experiment_choices(name: str) -> Iterator[Choice]:
    file = config_dir() / "experiment" / f"{name}.yaml"
    if not file.is_file():  # of the user's own: its values will do
        return
    for entry in (yaml.safe_load(file.read_text("utf-8")) or {}).get("defaults", ()):
        for key, option in entry.items() if isinstance(entry, dict) else ():
            group, _, package = str(key).removeprefix("override ").strip().removeprefix("/").partition("@")
            if option is None or _is_option(group, str(option)):
                yield Choice(group, package or None, option, added="override " not in str(key))


def _is_group(group: str) -> bool:
    return group not in ("experiment", "hydra") and (config_dir() / group).is_dir()


def _is_option(group: str, option: str) -> bool:
    return _is_group(group) and not group.startswith("hydra/") and is_option(group, option)


# --- composing --------------------------------------------------------------------------------------------------------


def _stored_config(run: RunFolder) -> dict[str, Any]:
    """The winner's config as it was composed, interpolations as they are; of other runs as it was resolved."""
    file = run.path / ".hydra" / "config.yaml"
    try:
        found = load_yaml(file) if file.is_file() else run.config
    except ConfigError as error:
        raise RecordError(str(error)) from error
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def _own(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, without what is no job's."""
    return {
        key: of for key, of in flat(tree).items() if key not in _NOT_THE_JOBS and key.split(".")[0] not in _NOT_THE_JOBS
    }


def _body(choices: Sequence[Choice], base: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The experiment: Hydra wants additions first, overrides last."""
    added = [{one.key: one.option} for one in choices if one.added]
    overridden = [{f"override {one.key}": one.option} for one in choices if not one.added]
    tree: dict[str, Any] = {"defaults": added + overridden} if choices else {}
    for key, value in wanted.items():
        if key not in base or base[key] != value:
            _put(tree, key.split("."), value)
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)) if tree else "{}\n"


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _lost(body: str, wanted: Mapping[str, Any]) -> list[str]:
    """The keys in which the experiment is not the winner's config after all; what is younger than that is none."""
    with TemporaryDirectory() as folder:
        file = Path(folder, BEST)
        file.parent.mkdir()
        file.write_text(f"# @package _global_\n{body}", "utf-8")
        words = [f"hydra.searchpath=[{folder}]", "experiment=best"]
        found = _own(_tree(words))
    more = [key for key in found if key.startswith(_FREE) and key not in wanted]
    return [*(key for key in wanted if wanted[key] != found.get(key, _GONE)), *more]


def _composed(choices: Sequence[Choice]) -> dict[str, Any]:
    """The defaults with these options."""
    return _tree([_word(one) for one in choices])


def _word(choice: Choice) -> str:
    key = choice.key.removeprefix("/")
    if choice.option is None:
        return f"~{key}"
    return f"{'+' * choice.added}{key}={choice.option}"


def _tree(words: Sequence[str]) -> dict[str, Any]:
    job_config.register_settings()
    with _hydra_aside(), initialize_config_dir(str(config_dir()), version_base="1.3"):
        found = OmegaConf.to_container(compose("config", list(words)), enum_to_str=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


@contextmanager
def _hydra_aside() -> Iterator[None]:
    """Hydra composes one application at a time; that of a sweep, at whose end we are, comes back afterwards."""
    here = GlobalHydra.instance()
    held, here.hydra = here.hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = held
