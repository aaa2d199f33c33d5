"""The errors of Hydra and OmegaConf, each in one line: what, where, got, wanted, what to do."""

import re
import shlex

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.errors import ConfigError
from runner.vocabulary import did_you_mean, groups, is_text, known_keys

_NO_SECRETS = (
    "a secret has no place in a setting, since settings are kept with the results; leave it to the environment, where "
    "GDAL finds it too, or to the AWS credential chain (AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws/credentials)"
)
QUOTES = "'\""


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
    """What is wrong in a config file, or else the words as they are."""
    outside = re.match(r"In '(experiment/.+?)': Could not override '\S+@experiment\b", problem)
    if outside:
        return _no_package(outside[1])
    composed = re.match(r"In '(.+?)': \w+ raised while composing config:\n(.*)\n +full_key: (\S+)", problem)
    if composed is None:
        return ConfigError(" ".join(problem.split()))
    file, what, key = composed.groups()
    if key.startswith("experiment"):
        return _no_package(file)
    return ConfigError(f"{file}.yaml: {_explain_key(key, what)}")


def _no_package(file: str) -> ConfigError:
    return ConfigError(f"{file}.yaml: its first line must be `# @package _global_`, since it is a whole job")


def _explain_missing(error: MissingConfigException) -> ConfigError:
    """A file that is not in the config folders: an option of a group, or the first of all."""
    wanted = str(error.missing_cfg_file)
    if error.options:
        group, _, option = wanted.rpartition("/")
        near, choices = did_you_mean(option, error.options), ", ".join(error.options)
        return ConfigError(f"{group}={option}: no such option{near}; there are {choices}")
    if str(error).startswith("Cannot find primary config"):
        return ConfigError(
            f"--config-name {wanted}: there is no {wanted}.yaml; a job of your own is an experiment: put it into "
            f"my_conf/experiment/{wanted}.yaml and give --config-dir my_conf experiment={wanted}"
        )
    return ConfigError(" ".join(str(error).split()))


def _explain_grammar(error: OverrideParseException) -> ConfigError:
    """Of texts only quotes that do not match are left to explain: all others are quoted where that is needed."""
    key, mark, value = str(error.override).partition("=")
    problem = f"{error.override}: cannot be read as KEY=VALUE ({_first_line(error)})"
    text = bool(mark) and is_text(key.lstrip("+"))
    return ConfigError(f"{problem}; write {pasted(key, value.strip(QUOTES))}" if text else problem)


def _explain_key(key: str, problem: str, value: str = "") -> ConfigError:
    """Of one key: it is not there, or has a wrong value; `value` is what was typed after it, the `=` too."""
    if "not in" in problem:
        return ConfigError(f"{key}: there is no such setting{did_you_mean(key, {*groups(), *known_keys()}, value)}")
    wanted = re.search(r"expected one of \[(.*)\]", problem)
    got = re.search(r"[Vv]alue '(.*?)'", problem)
    near = did_you_mean(got[1], wanted[1].split(", ")) if wanted and got else ""
    return ConfigError(f"{key}: {problem}{near}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
