"""The words after the command: flags in any place, and a line to paste for what is neither flag nor setting."""

from pathlib import Path

import pytest

from runner.base.command import COMMAND
from runner.config.arguments import flags_and_overrides
from runner.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "flags", "overrides"),
    [
        ([], [], []),
        (["chunks=row", "-m", "source.limit=3"], ["-m"], ["chunks=row", "source.limit=3"]),
        (["source=lake", "--config-dir", "my conf"], ["--config-dir", "my conf"], ["source=lake"]),
        (["--config-dir=my=conf", "a=b"], ["--config-dir", "my=conf"], ["a=b"]),
        (["a=b", "--cfg", "job", "-p", "source"], ["--cfg", "job", "-p", "source"], ["a=b"]),
        (["--info", "defaults-tree"], ["--info", "defaults-tree"], []),
        (["--info"], ["--info", "all"], []),
        (["~stage@stages.spatial_mean", "source.units="], [], ["~stage@stages.spatial_mean", "source.units="]),
        (["source.units=", "chunks=row"], [], ["source.units=", "chunks=row"]),
        (["-sc", "query=bash"], ["-sc"], ["query=bash"]),
    ],
)
def test_flags_may_stand_anywhere(words: list[str], flags: list[str], overrides: list[str]) -> None:
    assert flags_and_overrides(words) == (flags, overrides)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source=x"], "--source=x: a setting has no dashes before it; write source=x"),
        (["-source.limit=3"], "write source.limit=3"),
        (["--multrun"], "--multrun: there is no such flag; did you mean '--multirun'"),
        (["--cfg", "jobs"], "--cfg: wanted one of job, hydra, all, got jobs"),
        (["--config-dir"], "--config-dir: wanted a value, got nothing"),
        (["--experimental-rerun", "x"], "--experimental-rerun: that runs what a pickle says"),
        (["--exp", "x"], "--exp: that runs what a pickle says"),
        (["chunks.time", "=", "5"], "chunks.time = 5: no spaces stand around '='; write chunks.time=5"),
        (["chunks.time=", "5"], "write chunks.time=5"),
        (["chunks.time", "=5"], "write chunks.time=5"),
        (["demo"], "demo: wanted KEY=VALUE; did you mean source=demo"),
        (["processes"], "processes: wanted KEY=VALUE; did you mean cluster=processes"),
        (["plan"], "plan: wanted KEY=VALUE; did you mean action=plan"),
        (["ls"], f"{COMMAND} log ls"),
        (["data/a.tif", "data/b.tif"], "files are named by source=local 'source.url=\"data/*.tif\"'"),
        (["logs", "ls"], f"{COMMAND} log ls"),
        (["action", "plan"], "action plan: wanted KEY=VALUE; did you mean action=plan"),
        (["=3"], "=3: a key is missing before '='; write KEY=3"),
        (["a=b", "=3"], "=3: a key is missing before '='; write KEY=3"),
        (["-sc", "install=foo"], "install=foo: wanted one of bash, fish, zsh"),
        (["-sc", "install=bsh"], "did you mean 'bash'"),
        (["chunks.tim"], "chunks.tim: wanted KEY=VALUE; did you mean 'chunks.time'"),
        (["--config-path", "conf"], "a folder of yours is added by --config-dir conf"),
        (["-cp", "pkg://theirs"], "wants the absolute path of a folder with a config.yaml"),
    ],
)  # fmt: skip
def test_a_word_that_is_neither_gets_a_line(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        flags_and_overrides(words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_copy_of_all_our_config_files_may_stand_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert flags_and_overrides(["--config-path", str(tmp_path)]) == (["--config-path", str(tmp_path)], [])
