"""The winner as an experiment: `experiment/best.yaml` in the sweep's folder, where Hydra looks for `experiment=best`.

It holds the differences of the winner's config from the defaults: options of config groups, and single values. It is
composed and compared with the winner's own config before it is written.
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
from runner.base.humanize import one_line
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
_NOT_THE_JOBS: Final = frozenset({"output.dir", "output.upload", "sweep", "hydra"})  # keys, or the first part of keys
_FREE: Final = ("gdal.options.", "stages.")  # sections in which one config may have fewer keys than another
_CLUSTERS: Final = tuple(f"cluster@stages.{stage}.cluster" for stage in STAGES)
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a config group; None deletes the group's choice, and `added` adds one to the defaults."""

    group: str
    package: str | None
    option: str | None
    added: bool = False

    @property
    def key(self) -> str:
        """The key in a defaults list."""
        return f"/{self.group}@{self.package}" if self.package else f"/{self.group}"


def write_best(board: Leaderboard) -> Path | None:
    """Write the winner's config and return its path; an earlier file is removed first.

    Raises OutputError if it cannot be written, RecordError if the winner's config cannot be read or composed.
    """
    path = board.sweep.path / BEST
    if path.parent.is_symlink():
        raise OutputError(f"{path.parent} is a link, and a sweep writes only into its own folder; remove the link")
    path.unlink(missing_ok=True)
    if board.best is None:
        return None
    text = _text(board, board.best, board.best.run or read_run(board.best.completed[0].path))
    path.parent.mkdir(exist_ok=True)
    write_text(path, text)
    return path


def _text(board: Leaderboard, best: Row, run: RunFolder) -> str:
    """The whole file."""
    expected = _of_the_job(_stored_config(run))
    try:
        choices = list(_choices(best.attempts[0].record.overrides))
        body = _body(choices, _of_the_job(_composed(choices)), expected)
        lost = _lost(body, expected)
    except (HydraException, OmegaConfBaseException, ConfigError) as error:
        raise RecordError(f"{run.path}: its config cannot be composed by this version: {error}") from error
    lines = [
        *_origin(board, best, run),
        *([f"It differs from the winner's config in {', '.join(lost)}"] if lost else []),
    ]
    comment = "".join(f"# {one_line(line)}\n" for line in lines)
    return f"# @package _global_\n{comment}{body}"


def _origin(board: Leaderboard, best: Row, run: RunFolder) -> Iterator[str]:
    """The lines of the comment: the sweep, the measurements, the machine."""
    ran = run.record
    repeats = f", the median of {len(best.walls)} runs" if len(best.walls) > 1 else ""
    ratio = "" if best.ratio is None or best.baseline else f", {best.ratio:.3g}x as fast as the baseline"
    machine = f"{ran.host}, {ran.cores} cores, {humanize.size(ran.memory_bytes)}, {ran.platform}"
    jobs = humanize.plural(len(board.rows), "job")
    yield f"The best of {jobs} of the sweep {board.sweep.path.name}: {board.names[best.job]}"
    yield f"{humanize.seconds(best.wall_seconds)}{repeats}, {humanize.size(best.peak_bytes)}{ratio}; job {best.job}"
    yield f"on {board.sweep.started:%Y-%m-%d}, on {machine}"


# --- choices of groups ------------------------------------------------------------------------------------------------


def _choices(overrides: Sequence[str]) -> Iterator[Choice]:
    """The options of our groups that a command line chooses, and an experiment on it."""
    own: dict[str, Choice] = {}
    for override in OverridesParser.create().parse_overrides(for_each_stage(overrides, STAGES, _CLUSTERS)):
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
    if not file.is_file():  # the user's own: its values are written one by one
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
    """The winner's config as it was composed, interpolations as they are; or else as it was resolved."""
    file = run.path / ".hydra" / "config.yaml"
    try:
        config = load_yaml(file) if file.is_file() else run.config
    except ConfigError as error:
        raise RecordError(str(error)) from error
    return {str(key): value for key, value in config.items()} if isinstance(config, dict) else {}


def _of_the_job(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, without the settings of a sweep or of Hydra."""
    return {key: value for key, value in flat(tree).items() if _NOT_THE_JOBS.isdisjoint({key, key.split(".")[0]})}


def _body(choices: Sequence[Choice], base: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The experiment: Hydra requires additions first, overrides last."""
    added = [{choice.key: choice.option} for choice in choices if choice.added]
    overridden = [{f"override {choice.key}": choice.option} for choice in choices if not choice.added]
    tree: dict[str, Any] = {"defaults": added + overridden} if choices else {}
    for key, value in expected.items():
        if key not in base or base[key] != value:
            _put(tree, key.split("."), value)
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)) if tree else "{}\n"


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _lost(body: str, expected: Mapping[str, Any]) -> list[str]:
    """The keys in which the experiment differs from the winner's config; keys that are newer than it do not count."""
    with TemporaryDirectory() as folder:
        file = Path(folder, BEST)
        file.parent.mkdir()
        file.write_text(f"# @package _global_\n{body}", "utf-8")
        composed = _of_the_job(_tree([f"hydra.searchpath=[{folder}]", "experiment=best"]))
    more = [key for key in composed if key.startswith(_FREE) and key not in expected]
    return [*(key for key in expected if expected[key] != composed.get(key, _MISSING)), *more]


def _composed(choices: Sequence[Choice]) -> dict[str, Any]:
    """The defaults with these options."""
    return _tree(list(map(_override, choices)))


def _override(choice: Choice) -> str:
    key = choice.key.removeprefix("/")
    if choice.option is None:
        return f"~{key}"
    return f"{'+' * choice.added}{key}={choice.option}"


def _tree(overrides: Sequence[str]) -> dict[str, Any]:
    job_config.register_settings()
    with _hydra_aside(), initialize_config_dir(str(config_dir()), version_base="1.3"):
        tree = OmegaConf.to_container(compose("config", list(overrides)), enum_to_str=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


@contextmanager
def _hydra_aside() -> Iterator[None]:
    """Set the running application of Hydra aside, that of the sweep: Hydra composes one at a time."""
    instance = GlobalHydra.instance()
    running, instance.hydra = instance.hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running
