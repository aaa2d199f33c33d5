"""The errors of Hydra and OmegaConf, each in one line: what, where, got, wanted, what to do."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.base.overrides import parse
from runner.base.suggest import did_you_mean, instead_of
from runner.config.vocabulary import STAGES, groups, is_text, known_keys
from runner.errors import ConfigError

_NO_SECRETS = (
    "a secret has no place in a setting, since settings are kept with the results; leave it to the environment, where "
    "GDAL finds it too, or to the AWS credential chain (AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws/credentials)"
)
QUOTES = "'\""
_KINDS = {"Integer": "a whole number", "Float": "a number"}


def no_secret(key: str) -> ConfigError:
    """Said so that the error is not blanked out itself, as `COOKIE: ...` would be."""
    return ConfigError(f"{key}=[redacted]: {_NO_SECRETS}")


def pasted(key: str, value: str) -> str:
    """KEY="VALUE" as one types it into a shell: quoted for Hydra, and around it for the shell."""
    return shlex.quote(f"{key}={QuotedString(value, Quote.double).with_quotes()}")


def explain(error: HydraException | OmegaConfBaseException | YAMLError) -> ConfigError:
    """Say in one line what Hydra or OmegaConf refuse, with the nearest known word."""
    if isinstance(error, MissingConfigException):
        return _explain_missing(error)
    if isinstance(error, OverrideParseException):
        return _explain_grammar(error)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, OmegaConfBaseException):
        asked = re.search(r"Could not override '([^']+)'.*?(?:use \+[^=]+(=.*)|$)", str(error), re.DOTALL)
        if asked:
            return _explain_key(asked[1], _first_line(cause), asked[2] or "")
        return _explain_key(str(cause.full_key or cause.key), _first_line(cause))
    return _explain_file(str(error))


def _explain_file(problem: str) -> ConfigError:
    """What is wrong in a config file, or in a word that Hydra alone understands; or else the words as they are."""
    outside = re.match(r"In '(experiment/.+?)': Could not override '\S+@experiment\b", problem)
    if outside:
        return _no_package(outside[1])
    composed = re.match(r"In '(.+?)': \w+ raised while composing config:\n(.*)\n +full_key: (\S+)", problem)
    if composed is None:
        return _explain_word(problem) or _explain_override(problem) or ConfigError(" ".join(problem.split()))
    file, what, key = composed.groups()
    if key.startswith("experiment"):
        return _no_package(file)
    nested = _explain_nesting(key) if "not in" in what else None
    return ConfigError(f"{file}.yaml: {nested or _explain_key(key, what)}")


def _explain_override(problem: str) -> ConfigError | None:
    """A choice in a file's list of defaults, of a group that is not there."""
    got = re.match(
        r"In '(.+?)': Could not override '([^']+)'\.(?:\s+Did you mean to override (?:one of )?(.+)\?)?", problem
    )
    if got is None:
        return None
    near = did_you_mean(got[2], got[3].split(", ") if got[3] else groups())
    return ConfigError(f"{got[1]}.yaml: its defaults override '{got[2]}', which is not there{near}")


def _explain_nesting(key: str) -> str | None:
    """A known key that stands at the wrong depth of a file."""
    section, _, name = key.rpartition(".")
    if key in known_keys():
        return f"{key}: a dot is a part of a name in a file; write {name} below {section}:"
    if section and name == section.rpartition(".")[2]:
        return f"{key}: the keys of this file are those of {section} already; write them without {name}:"
    return None


def _explain_word(problem: str) -> ConfigError | None:
    """A word of the command line, of which Hydra tells how Hydra would have it."""
    several = re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.+)'", problem)
    if several:
        return ConfigError(f"{several[1]}: several values are a sweep, one job for each; write -m {several[1]}")
    there = re.match(r"Could not append to config\. An item is already at '(.+)'\.\n.*'(.+)'", problem)
    if there:
        return ConfigError(f"+{there[2]}: {there[1]} is a setting that there is; write {there[2]}")
    twice = re.match(r"Multiple values for (\S+?)\. To override a value use 'override \S+: (.+)'", problem)
    if twice:
        return ConfigError(f"+{twice[1]}={twice[2]}: {twice[1]} is chosen already; write {twice[1]}={twice[2]}")
    gone = re.match(r"Could not delete (?:from config\. )?'([^']+)'", problem)
    if gone:
        known = [*(f"stage@stages.{stage}" for stage in STAGES), *groups(), *known_keys()]
        return ConfigError(f"~{gone[1]}: there is nothing of that name to leave out{_near(gone[1], known, '~')}")
    chosen = re.match(r"Could not override '([^']+)'\.(?:\nDid you mean to override (?:one of )?(.+)\?)?", problem)
    if chosen is None:
        return None
    value = re.search(r"use \+[^=]+(=.*)", problem)
    known = (chosen[2] or "").split(", ")
    meant = _near(chosen[1], known, "", value[1] if value else "")
    return ConfigError(f"{_as_key(chosen[1])}: no such choice is there{meant}")


def _near(got: str, known: list[str], before: str = "", after: str = "") -> str:
    """As `did_you_mean`, in the words that people type."""
    near = re.sub(r"(?<=')[^']+(?=')", lambda found: f"{before}{_as_key(found[0])}{after}", did_you_mean(got, known))
    return near if "'" in near else ""


def _as_key(choice: str) -> str:
    """`stages.X.cluster` for cluster@stages.X.cluster; others as they are."""
    group, _, package = choice.partition("@")
    return package if package.endswith(f".{group}") and group in ("cluster", "chunks") else choice


def _no_package(file: str) -> ConfigError:
    return ConfigError(f"{file}.yaml: its first line must be `# @package _global_`, since it is a whole job")


def _explain_missing(error: MissingConfigException) -> ConfigError:
    """A file that is not in the config folders: an option of a group, or the first of all."""
    wanted = str(error.missing_cfg_file)
    if error.options:
        group, _, option = wanted.rpartition("/")
        near, choices = did_you_mean(option, error.options), ", ".join(error.options)
        misplaced = _misplaced(group, option, str(error))
        return ConfigError(f"{group}={option}: no such option{misplaced or near}; there are {choices}")
    if str(error).startswith("Cannot find primary config"):
        return ConfigError(
            f"--config-name {wanted}: there is no {wanted}.yaml; a job of your own is an experiment: put it into "
            f"my_conf/experiment/{wanted}.yaml and give --config-dir my_conf experiment={wanted}"
        )
    return _explain_default(str(error), wanted) or ConfigError(" ".join(str(error).split()))


def _misplaced(group: str, option: str, problem: str) -> str:
    """Where an option's file lies in a config folder itself, not in the group's; or nothing."""
    folders = map(Path, re.findall(r"path=file://(.+)", problem))
    folder = next((one for one in folders if (one / f"{option}.yaml").is_file()), None)
    if folder is None:
        return ""
    wanted = (
        f"name its parent, --config-dir {folder.parent}" if folder.name == group else f"move it into {folder / group}"
    )
    return f"; there is a {folder / option}.yaml, but options lie in folders of their group: {wanted}"


def _explain_default(problem: str, wanted: str) -> ConfigError | None:
    """A file that another's defaults name, with the nearest that there is in the config folders."""
    file = re.match(r"In '(.+?)': Could not load", problem)
    if file is None:
        return None
    group, _, option = wanted.rpartition("/")
    folders = [Path(path) for path in re.findall(r"path=file://(.+)", problem)]
    near = did_you_mean(option, {path.stem for folder in folders for path in (folder / group).glob("*.yaml")})
    return ConfigError(f"{file[1]}.yaml: its defaults name '{option}', which is no file of {group or 'conf'}/{near}")


def _explain_grammar(error: OverrideParseException) -> ConfigError:
    """Of texts only quotes that do not match are left to explain: all others are quoted where that is needed."""
    override = parse(str(error.override))
    problem = f"{error.override}: cannot be read as KEY=VALUE ({_first_line(error)})"
    if override.value is None or not is_text(override.key):
        return ConfigError(problem)
    return ConfigError(f"{problem}; write {pasted(override.left, override.value.strip(QUOTES))}")


# What OmegaConf says of a value of the wrong shape, and what we say after the key.
_SHAPES: Final[tuple[tuple[str, Callable[[re.Match[str]], str | None]], ...]] = (
    (
        r"Value '(.*?)' of type '\w+' could not be converted to (\w+)",
        lambda found: f"={found[1]}: wanted {_KINDS[found[2]]}" if found[2] in _KINDS else None,
    ),
    (
        r"Environment variable '(.+)' not found",
        lambda found: f": the environment has no variable {found[1]}; set it, or write a value",
    ),
    (r"Value '(.*?)' is not a valid bool", lambda found: f"={found[1]}: wanted true or false"),
    (
        r"is not Optional|NoneType is not a subclass|Incompatible value 'None'",
        lambda _: "=null: wanted a value; leave the key out for its default",
    ),
    (r"is not a ListConfig", lambda _: ": wanted a list, such as [a, b]"),
    (
        r"^Cannot convert '(List|Dict)Config' to \w+: '(.*)'",
        lambda found: f"={found[2]}: wanted one value, and got {'a list' if found[1] == 'List' else 'a mapping'}",
    ),
)


def _explain_shape(key: str, problem: str) -> ConfigError | None:
    """Of one key that has no value, or many in place of one, or one of another kind."""
    for pattern, words in _SHAPES:
        found = re.search(pattern, problem)
        if found and (text := words(found)):
            return ConfigError(f"{key}{text}")
    return None


def _explain_key(key: str, problem: str, value: str = "") -> ConfigError:
    """Of one key: it is not there, or has a wrong value; `value` is what was typed after it, the `=` too."""
    if "not in" in problem:
        return ConfigError(f"{key}: there is no such setting{instead_of(key, {*groups(), *known_keys()}, value)}")
    shape = _explain_shape(key, problem)
    if shape:
        return shape
    wanted = re.search(r"expected one of \[(.*)\]", problem)
    got = re.search(r"[Vv]alue '(.*?)'", problem)
    near = did_you_mean(got[1], wanted[1].split(", ")) if wanted and got else ""
    return ConfigError(f"{key}: {problem}{near}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
