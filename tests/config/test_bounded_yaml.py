"""YAML whose few lines stand for billions of values, and bare times, are refused where Hydra or a run reads them."""

from pathlib import Path

import pytest
from jobs import compose

from runner.config.bounded_yaml import load_yaml, refuse_bare_time, refuse_expansion
from runner.errors import ConfigError


def laughs(levels: int) -> str:
    """Ten values, ten times that, and so on."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{at}: &l{at} [{', '.join(10 * [f'*l{at - 1}'])}]" for at in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        laughs(9),
        laughs(300),
        "a: &a [*a]",
        "a: &a {x: 1}\nb: &b {<<: [" + ", ".join(200 * ["*a"]) + "]}\nc: [" + ", ".join(200 * ["*b"]) + "]",
    ],
    ids=["nine levels", "more than a float can count", "an anchor inside itself", "merged"],
)
def test_anchors_of_anchors_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"x.yaml: its anchors .* stand for over 10000 values; write them out"):
        refuse_expansion(text, "x.yaml")


@pytest.mark.parametrize(
    "text", ["", "a: [*a", "exclude: ['*_20200612_*', 'a&b']", "a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}", laughs(3)]
)
def test_a_few_anchors_and_what_is_not_yaml_are_left_to_the_reader(text: str) -> None:
    refuse_expansion(text, "x.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"# @package _global_\n{laughs(9)}".encode(), "its anchors"),
        (b"# @package _global_\nsource: " + 3000 * b"[", "nested too deeply"),
        (
            b"# @package _global_\nstages: {spatial_mean: {cluster: {walltime: 1:30:00}}}",
            "walltime: 1:30:00 is a number",
        ),
        (b"# @package _global_\nsource: {name: caf\xe9}", "is not a text in UTF-8"),
    ],
)
def test_a_config_of_ones_own_gets_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        compose(f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine")
    assert "experiment/mine.yaml:" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: 1\ncluster:\n  walltime: 1:30:00\n",
            "3: walltime: 1:30:00 is a number in YAML; write it in quotes, '1:30:00'",
        ),
        ("cluster: {cores: 2, walltime: 12:30}", "1: walltime: 12:30 is a number"),
        ("walltime: 90:00  # minutes", "1: walltime: 90:00 is a number"),
        ("walltime: '1:30:00'\nother: 01:30:00\n# walltime: 1:30:00\naddress: tcp://host:8786\nport: 8786", ""),
    ],
)
def test_a_time_that_yaml_reads_as_a_number_is_refused(text: str, problem: str) -> None:
    if not problem:
        refuse_bare_time(text, "x.yaml")
        return
    with pytest.raises(ConfigError) as caught:
        refuse_bare_time(text, "x.yaml")
    assert str(caught.value).startswith(f"x.yaml:{problem}")


@pytest.mark.parametrize("text", [laughs(9), 3000 * "[", "a: [", "a: 1\na: 2", "!!python/object/apply:os.getcwd []"])
def test_a_stored_config_that_was_altered_gets_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config.yaml: ") as caught:
        load_yaml(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)
