"""Texts as people read them."""

import pytest

from runner.base.humanize import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [("no such\n  queue\t'x'\n", "no such queue 'x'"), (ValueError(" a\nb "), "a b"), ("\n", "")],
)
def test_the_lines_of_a_text_or_an_error_are_joined(text: object, line: str) -> None:
    assert one_line(text) == line
