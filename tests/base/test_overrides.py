"""An override is taken apart in one place, and is written back as it was."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from runner.base.overrides import (
    Override,
    config_flags,
    for_shell,
    names_folder,
    parse,
    quoted,
    without_folder,
)

TEXTS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\r\n"))


@pytest.mark.parametrize(
    ("word", "override"),
    [
        ("chunks.y=512", Override("", "chunks.y", "512")),
        ("++source.s3={a: 1}", Override("++", "source.s3", "{a: 1}")),
        ("~stage@stages.x", Override("~", "stage@stages.x", None)),
        ("source.url=a=b", Override("", "source.url", "a=b")),
        ("source.units=", Override("", "source.units", "")),
    ],
)
def test_an_override_has_a_mark_a_key_and_a_value(word: str, override: Override) -> None:
    assert parse(word) == override


@given(st.text())
def test_an_override_is_written_as_it_was_typed(word: str) -> None:
    assert str(parse(word)) == word


def test_a_key_that_is_left_out_has_a_setting_too() -> None:
    assert (parse("~gdal").setting, parse("a=b").setting) == ("dropped", "b")


@given(TEXTS.filter(str.strip))
@example("²")
@example("true")
@example("a/007")
def test_a_quoted_text_is_read_back_by_hydra(text: str) -> None:
    assert str(OverridesParser.create().parse_override(f"key={quoted(text)}").value()) == text


@pytest.mark.parametrize(
    ("word", "names"),
    [("output.dir=x", True), ("+output.dir=x", True), ("~output.dir", False), ("output.directory=x", False)],
)
def test_the_folder_of_a_run_is_told_from_other_keys(word: str, names: bool) -> None:
    assert names_folder(word) is names
    assert without_folder([word]) == ([] if names else [word])


@pytest.mark.parametrize(
    ("word", "shown"),
    [("a=b", "a=b"), ("a='b c'", "\"a='b c'\""), ("a=$b", "'a=$b'"), ("a='$b'", "'a='\"'\"'$b'\"'\"''")],
)
def test_a_word_is_quoted_for_the_shell(word: str, shown: str) -> None:
    assert for_shell(word) == shown


def test_flags_that_name_config_files_are_found_with_their_values() -> None:
    assert config_flags(["x", "--config-dir", "a", "-cn=b", "-m", "k=v"]) == ["--config-dir", "a", "-cn=b"]
