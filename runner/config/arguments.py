"""The arguments of the command: Hydra's flags and the overrides of settings, in any order."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from runner.base.command import command
from runner.base.overrides import parse
from runner.base.suggest import did_you_mean
from runner.config.messages import pasted
from runner.config.vocabulary import groups, is_option, known_keys
from runner.errors import ConfigError

_PLAIN: Final = frozenset({"--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m",
                           "--shell-completion", "-sc"})  # fmt: skip
_KINDS: Final = ("job", "hydra", "all")
_INFO: Final = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_VALUED: Final[Mapping[str, tuple[str, ...]]] = {  # with their values, if those are known
    "--cfg": _KINDS, "-c": _KINDS, "--info": _INFO, "-i": _INFO, "--package": (), "-p": (), "--config-path": (),
    "-cp": (), "--config-name": (), "-cn": (), "--config-dir": (), "-cd": (),
}  # fmt: skip
_COMPLETION: Final = frozenset({"--shell-completion", "-sc"})
_COMPLETING: Final = ("install", "uninstall", "query")
_SHELLS: Final = ("bash", "fish", "zsh")
_VERBS: Final = ("ls", "show", "diff", "verify", "rerun", "resume", "upload", "update", "join", "leaderboard")


def flags_and_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(flags with their values, overrides), each in the order typed. Raises ConfigError for what is neither."""
    _refuse_spaces(words)
    flags, overrides = [], []
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            flags += _flag(word, rest)
        else:
            _refuse_no_override(word)
            overrides.append(word)
    _refuse_config_path(flags)
    if not _COMPLETION.isdisjoint(flags):
        _refuse_other_shells(overrides)
    return flags, overrides


def _flag(word: str, rest: Iterator[str]) -> list[str]:
    """A flag, and its value, which may be the next word."""
    name, mark, value = word.partition("=")
    if word in _PLAIN:
        return [word]
    if name not in _VALUED:
        _refuse_flag(name, value if mark else None)
    choices = _VALUED[name]
    if not mark:
        value = next(rest, "all" if choices is _INFO else "")
    if not value or (choices and value not in choices):
        wanted = f"one of {', '.join(choices)}" if choices else "a value"
        raise ConfigError(f"{name}: wanted {wanted}, got {value or 'nothing'}")
    return [name, value]


def _refuse_flag(name: str, value: str | None) -> None:
    if "--experimental-rerun".startswith(name) and len(name) > len("--"):
        raise ConfigError(f"{name}: that runs what a pickle says; {command()} log rerun RUN does a run again")
    setting = name.lstrip("-")
    if value is not None:
        raise ConfigError(f"{name}={value}: a setting has no dashes before it; write {setting}={value}")
    near = did_you_mean(name, [*_PLAIN, *_VALUED])
    raise ConfigError(f"{name}: there is no such flag{near}; {command()} --hydra-help has them, --help the settings")


def _refuse_spaces(words: Sequence[str]) -> None:
    """`chunks.time = 5`, which a shell makes three words of."""
    for at, word in enumerate(words):
        before, after = (words[at - 1] if at else ""), (words[at + 1] if at + 1 < len(words) else "")
        if word.startswith("=") and (not before or "=" in before):
            raise ConfigError(f"{word}: a key is missing before '='; write KEY={word.lstrip('=') or 'VALUE'}")
        if _is_key(word) and after and not set("=~") & set(after) and not after.startswith("-"):
            raise ConfigError(f"{word} {after}: wanted KEY=VALUE; did you mean {word}={after}")
        if word == "=":
            typed, meant = f"{before} = {after}", f"{before}={after}"
        elif word.startswith("="):
            typed, meant = f"{before} {word}", f"{before}{word}"
        elif word.endswith("=") and after and "=" not in after and not after.startswith(("-", "~")):
            typed, meant = f"{word} {after}", f"{word}{after}"
        else:
            continue
        raise ConfigError(f"{typed}: no spaces stand around '='; write {meant}")


def _is_key(word: str) -> bool:
    return word in {*groups(), *known_keys()}


def _refuse_no_override(word: str) -> None:
    """A word that sets nothing, with what was meant."""
    if "=" in word or word.startswith("~"):
        return
    raise ConfigError(f"{word}: wanted KEY=VALUE{_meant(word)}")


def _meant(word: str) -> str:
    if word in ("plan", "run"):
        return f"; did you mean action={word}"
    if word == "log" or word in _VERBS:
        return f"; did you mean {command()} log {'ls' if word == 'log' else word}"
    group = next((group for group in ("source", *sorted(groups())) if is_option(group, word)), None)
    if group is not None:
        return f"; did you mean {group}={word}"
    if "/" in word or Path(word).exists():
        file = Path(word)
        pattern = str(file.with_name(f"*{file.suffix}") if file.suffix else file / "*.tif")
        return f"; files are named by source=local {pasted('source.url', pattern)}"
    near = did_you_mean(word, {*groups(), *known_keys()})
    return near or (f"; did you mean {command()} log ls" if did_you_mean(word, ("log", "logs")) else "")


def _refuse_other_shells(overrides: Sequence[str]) -> None:
    for word in overrides:
        flag = parse(word)
        if flag.key in _COMPLETING and flag.text not in _SHELLS:
            raise ConfigError(f"{word}: wanted one of {', '.join(_SHELLS)}{did_you_mean(flag.text, _SHELLS)}")


def _refuse_config_path(flags: Sequence[str]) -> None:
    """Only a whole folder of ours, copied and altered, can stand in its place."""
    given = dict(pairwise(flags))
    folder = given.get("--config-path", given.get("-cp"))
    name = given.get("--config-name", given.get("-cn", "config")).removesuffix(".yaml")
    if folder is not None and not (Path(folder).is_absolute() and Path(folder, f"{name}.yaml").is_file()):
        raise ConfigError(
            f"--config-path {folder}: that takes the place of all our config files, and wants the absolute path of a "
            f"folder with a {name}.yaml; a folder of yours is added by --config-dir {folder}"
        )
