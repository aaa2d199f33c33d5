"""The errors of Hydra and OmegaConf, each in one line: what, where, got, wanted, what to do."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.base.humanize import one_line
from runner.base.overrides import parse
from runner.base.suggest import did_you_mean, instead_of, nearest
from runner.config.vocabulary import STAGES, groups, is_text, known_keys
from runner.errors import ConfigError

_NO_SECRETS = (
    "a secret has no place in a setting, since settings are kept with the results; leave it to the environment, where "
    "GDAL finds it too, or to the AWS credential chain (AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws/credentials), and a "
    "signed address to a manifest (source=manifest)"
)
QUOTES = "'\""
_OF_POLYGONS: Final = ("source.area", "zones.file")
_KINDS = {"Integer": "a whole number", "Float": "a number"}


def no_secret(key: str) -> ConfigError:
    """The error of a secret in a setting, in words that are not blanked out themselves, as `COOKIE: ...` would be."""
    return ConfigError(f"{key}=[redacted]: {_NO_SECRETS}")


def pasted(key: str, value: str) -> str:
    """KEY="VALUE" as it is typed into a shell: quoted for Hydra, and around it for the shell."""
    return shlex.quote(f"{key}={QuotedString(value, Quote.double).with_quotes()}")


REFUSALS: Final = (HydraException, OmegaConfBaseException, YAMLError, AssertionError)  # while a config is composed


def explain(error: Exception) -> ConfigError:
    """Say in one line what Hydra or OmegaConf refuse, one of `REFUSALS`, with the nearest known word."""
    if isinstance(error, AssertionError):
        return ConfigError(_of_null(error))
    if isinstance(error, MissingConfigException):
        return ConfigError(_of_missing(error))
    if isinstance(error, OverrideParseException):
        return ConfigError(_of_grammar(error))
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if not isinstance(cause, OmegaConfBaseException):
        text = str(error)
        return ConfigError(_first_that_matches(_OF_HYDRA, text) or one_line(text))
    typed = re.search(r"Could not override '([^']+)'.*?(?:use \+[^=]+(=.*)|$)", str(error), re.DOTALL)
    key, value = (typed[1], typed[2] or "") if typed else (str(cause.full_key or cause.key), "")
    return ConfigError(_of_missing_stage(key, cause, value) or _of_key(key, _first_line(cause), value))


# --- tables: what Hydra and OmegaConf say, and what we say ------------------------------------------------------------

Messages = tuple[tuple[str, Callable[[re.Match[str]], str | None]], ...]

_OF_HYDRA: Final[Messages] = (
    (r"^In '(experiment/.+?)': Could not override '\S+@experiment\b", lambda match: _no_package(match[1])),
    (
        r"^In '(.+?)': \w+ raised while composing config:\n(.*)\n +full_key: (\S+)",
        lambda match: _of_file(match[1], match[2], match[3]),
    ),
    (
        r"^In '(.+?)': Could not override '([^']+)'\.(?:\s+Did you mean to override (?:one of )?(.+)\?)?",
        lambda match: (
            f"{match[1]}.yaml: its defaults override '{match[2]}', which is not there"
            f"{did_you_mean(match[2], match[3].split(', ') if match[3] else groups())}"
        ),
    ),
    (
        r"^(?:Ambiguous value for argument|Sweep parameters) '(.+)'",
        lambda match: f"{match[1]}: several values are a sweep, one job for each; write -m {match[1]}",
    ),
    (
        r"^Could not append to config\. An item is already at '(.+)'\.\n.*'(.+)'",
        lambda match: f"+{match[2]}: {match[1]} is a setting that there is; write {match[2]}",
    ),
    (
        r"^Multiple values for (\S+?)\. To override a value use 'override \S+: (.+)'",
        lambda match: f"+{match[1]}={match[2]}: {match[1]} is chosen already; write {match[1]}={match[2]}",
    ),
    (
        r"^Could not delete (?:from config\. )?'([^']+)'",
        lambda match: f"~{match[1]}: there is nothing of that name to leave out{_near(match[1], _deletable(), '~')}",
    ),
    (
        r"^Could not override '([^']+)'\.(?:\nDid you mean to override (?:one of )?(.+)\?)?"
        r"(?:[\s\S]*?use \+[^=]+(=.*))?",
        lambda match: _no_choice(match[1], (match[2] or "").split(", "), match[3] or ""),
    ),
)
_BY_PERCENTILE: Final = (
    ": wanted [lowest, highest] as numbers. A percentile of a scene is known only once all of its pixels have been "
    "read and ordered, so that all bytes would be read twice and whole scenes held in memory; give limits of the "
    "quantity itself, or take statistics over time that outliers do not move (median, q10, q90)"
)
_OF_VALUES: Final[Messages] = (  # what stands behind the key
    (
        r"Value '(.*?)' of type '\w+' could not be converted to (\w+)",
        lambda match: f"={match[1]}: wanted {_KINDS[match[2]]}" if match[2] in _KINDS else None,
    ),
    (
        r"Environment variable '(.+)' not found",
        lambda match: f": the environment has no variable {match[1]}; set it, or write a value",
    ),
    (r"Value '(.*?)' is not a valid bool", lambda match: f"={match[1]}: wanted true or false"),
    (
        r"(?:is not Optional|NoneType is not a subclass|Incompatible value 'None'|Value 'None' is incompatible)",
        lambda _: "=null: wanted a value; leave the key out for its default",
    ),
    (
        r"^Value '(.*?)' .*is incompatible with type hint 'Union\[int, str\]'",
        lambda match: f"={match[1]}: wanted a whole number or a text",
    ),
    (
        r"^(?:Cannot assign \w+ to Dict|Invalid type assigned: \w+ is not a subclass of)",
        lambda _: ": it holds named values; set one as KEY.NAME=VALUE, or in a file as NAME: VALUE below it",
    ),
    (r"is not a ListConfig", lambda _: ": wanted a list, such as [a, b]"),
    (
        r"^Cannot convert '(ListConfig|DictConfig|list|dict)' to \w+: '(.*)'",
        lambda match: (
            f"={match[2]}: wanted one value, and got {'a list' if match[1].lower().startswith('list') else 'a mapping'}"
        ),
    ),
    (
        r"(.*[Vv]alue '(.*?)'.*expected one of \[(.*)\].*)",
        lambda match: f": {match[1]}{did_you_mean(match[2], match[3].split(', '))}",
    ),
)


def _no_choice(group: str, known: list[str], value: str) -> str:
    """An override of a group that the defaults do not have; a further stage is added to them."""
    if group.startswith("stage@stages."):
        return f"{group}: the defaults have no stage of that name; write +{group}{value} to add it"
    return f"{_as_key(group)}: there is no such choice{_near(group, known, '', value)}"


def _first_that_matches(table: Messages, text: str) -> str | None:
    for pattern, words in table:
        match = re.search(pattern, text)
        if match and (message := words(match)):
            return message
    return None


# --- parts of messages ------------------------------------------------------------------------------------------------


def _of_key(key: str, problem: str, value: str = "") -> str:
    """Of one key: it is not there, or has a wrong value; `value` is what was typed after it, the `=` too."""
    if "not in" in problem:
        stages = [*STAGES, *key.split(".")[1:2]] if key.startswith("stages.") else STAGES
        return f"{key}: there is no such setting{instead_of(key, {*groups(), *known_keys(stages=stages)}, value)}"
    if key.startswith("source.valid_range") and re.search(r"Value '(p\d|q\d|\d+(\.\d+)?\s*%)", problem):
        return f"source.valid_range{value}{_BY_PERCENTILE}"
    message = _first_that_matches(_OF_VALUES, problem) or f": {problem}"
    one_file = (
        "; join the files to one (Merge Vector Layers in QGIS, ogrmerge.py)" if message.endswith("a list") else ""
    )
    return f"{key}{message}{one_file if key in _OF_POLYGONS else ''}"


def _of_missing_stage(key: str, cause: OmegaConfBaseException, value: str) -> str | None:
    """Of a key of a stage that the job does not have; None of another."""
    node = cause.parent_node
    at = str(cause.full_key)
    if at.count(".") != 1 or not at.startswith("stages.") or not isinstance(node, DictConfig):
        return None
    name, rest = str(cause.key), key.removeprefix(at)
    known = list(map(str, node))
    near = nearest(name, known)
    if near:
        return f"{key}: there is no stage {name}; did you mean 'stages.{near}{rest}{value}'"
    option = "stage@stages.zones=zonal" if name == "zones" else f"+stage@stages.{name}=OPTION"
    return f"{key}: there is no stage {name}; there are {', '.join(known)}, and {option} adds it"


def _of_file(file: str, problem: str, key: str) -> str:
    """Of a key in a config file."""
    if key.startswith("experiment"):
        return _no_package(file)
    nested = _nesting(key) if "not in" in problem else None
    return f"{file}.yaml: {nested or _of_key(key, problem)}"


def _nesting(key: str) -> str | None:
    """Of a known key that stands at the wrong depth of a file."""
    section, _, name = key.rpartition(".")
    if key in known_keys():
        return f"{key}: a dot is a part of a name in a file; write {name} below {section}:"
    if section and name == section.rpartition(".")[2]:
        return f"{key}: the keys of this file are those of {section} already; write them without {name}:"
    return None


def _deletable() -> list[str]:
    return [*(f"stage@stages.{stage}" for stage in STAGES), *groups(), *known_keys()]


def _near(got: str, known: list[str], before: str = "", after: str = "") -> str:
    """`did_you_mean` with the names that people type."""
    hint = re.sub(r"(?<=')[^']+(?=')", lambda match: f"{before}{_as_key(match[0])}{after}", did_you_mean(got, known))
    return hint if "'" in hint else ""


def _as_key(choice: str) -> str:
    """`stages.X.cluster` for cluster@stages.X.cluster; others as they are."""
    group, _, package = choice.partition("@")
    return package if package.endswith(f".{group}") and group in ("cluster", "chunks") else choice


def _no_package(file: str) -> str:
    return f"{file}.yaml: its first line must be `# @package _global_`, since it is a whole job"


def _of_missing(error: MissingConfigException) -> str:
    """Of a file that is not in the config folders: an option of a group, or the first of all."""
    wanted = str(error.missing_cfg_file)
    if error.options:
        group, _, option = wanted.rpartition("/")
        near, choices = did_you_mean(option, error.options), ", ".join(error.options)
        misplaced = _misplaced(group, option, str(error))
        return f"{group}={option}: no such option{misplaced or near}; there are {choices}"
    if str(error).startswith("Cannot find primary config"):
        return (
            f"--config-name {wanted}: there is no {wanted}.yaml; a job of your own is an experiment: put it into "
            f"my_conf/experiment/{wanted}.yaml and give --config-dir my_conf experiment={wanted}"
        )
    return _of_default(str(error), wanted) or one_line(error)


def _misplaced(group: str, option: str, problem: str) -> str:
    """Where an option's file lies in a config folder itself, not in the group's; or nothing."""
    folders = map(Path, re.findall(r"path=file://(.+)", problem))
    folder = next((path for path in folders if (path / f"{option}.yaml").is_file()), None)
    if folder is None:
        return ""
    remedy = (
        f"name its parent, --config-dir {folder.parent}" if folder.name == group else f"move it into {folder / group}"
    )
    return f"; there is a {folder / option}.yaml, but options lie in folders of their group: {remedy}"


def _of_default(problem: str, wanted: str) -> str | None:
    """Of a file that another's defaults name, with the nearest that there is in the config folders."""
    file = re.match(r"In '(.+?)': Could not load", problem)
    if file is None:
        return None
    group, _, option = wanted.rpartition("/")
    folders = [Path(path) for path in re.findall(r"path=file://(.+)", problem)]
    near = did_you_mean(option, {path.stem for folder in folders for path in (folder / group).glob("*.yaml")})
    return f"{file[1]}.yaml: its defaults name '{option}', which is not a file of {group or 'conf'}/{near}"


def _of_grammar(error: OverrideParseException) -> str:
    """Of texts only quotes that do not match are left to explain: all others are quoted where that is needed."""
    override = parse(str(error.override))
    problem = f"{error.override}: cannot be read as KEY=VALUE ({_first_line(error)})"
    if override.value is None or not is_text(override.key):
        return problem
    return f"{problem}; write {pasted(override.left, override.value.strip(QUOTES))}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _of_null(error: AssertionError) -> str:
    """OmegaConf asserts that what has a key below it is not null; chunks of a stage are the one setting that may be."""
    if "root: NoneType" not in str(error):
        return f"the settings cannot be composed: AssertionError: {error}"
    return (
        "stages.NAME.chunks.KEY: the stage has no chunks of its own that could be changed; write "
        "stages.NAME.chunks=auto, or another option of that group, in front of it"
    )
