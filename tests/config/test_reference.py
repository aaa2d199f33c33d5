"""The reference of all settings is complete, and is what its generator makes."""

import pytest
from jobs import ROOT

from runner.config.reference import options, reference
from runner.config.vocabulary import groups, known_keys

COMMAND = "python -m runner.config.reference > runner/docs/reference.md"


def test_the_reference_is_up_to_date() -> None:
    stored = (ROOT / "runner/docs/reference.md").read_text("utf-8")
    assert stored == reference(), f"the reference is stale; make it again: {COMMAND}"


@pytest.fixture(scope="module")
def page() -> str:
    return reference()


@pytest.mark.parametrize("key", [key for key in known_keys(stages=["NAME"]) if "chunks." not in key])
def test_the_reference_has_every_key(page: str, key: str) -> None:
    assert f"| `{key}` |" in page or f"## `{key}`" in page or f"## `{key}.NAME`" in page


@pytest.mark.parametrize("group", sorted(groups() - {"hydra"}))
def test_every_option_of_a_group_has_a_meaning(group: str) -> None:
    assert options(group)
    assert all(text.endswith((".", "?")) or "=" in text for _, text in options(group))
