"""Every setting says what it means, and holds its values to its limits."""

from enum import Enum

import pytest

from runner import settings
from runner.config.setting_fields import fields_of, meaning
from runner.settings import JobSettings, Limits

CLASSES = [
    one for one in vars(settings).values() if isinstance(one, type) and one.__module__.startswith("runner.settings.")
]
ENUMS = [one for one in CLASSES if issubclass(one, Enum)]
RECORDS = [one for one in CLASSES if one.__name__.endswith("Settings")]
MEANINGS = [
    *((owner, entry.name) for owner in RECORDS for entry in fields_of(owner)),
    *((owner, member.name) for owner in ENUMS for member in owner),
    *((owner, None) for owner in (*RECORDS, *ENUMS)),
]


@pytest.mark.parametrize(("owner", "name"), MEANINGS, ids=lambda one: getattr(one, "__name__", str(one)))
def test_every_setting_and_every_choice_has_a_meaning(owner: type, name: str | None) -> None:
    text = meaning(owner, name)
    assert text, f"{owner.__module__}: write the meaning of {owner.__name__}.{name} as a text below it"
    assert text[0].isupper() or not text[0].isalpha() or text.startswith("float"), text
    assert text.endswith("."), text


def test_a_long_meaning_is_one_line() -> None:
    assert "\n" not in meaning(settings.SourceSettings, "datetime_regex")


def test_a_field_knows_its_limits_its_default_and_whether_it_may_be_null() -> None:
    fields = {entry.name: entry for entry in fields_of(settings.ClusterSettings)}
    assert fields["n_workers"].limits == Limits("a whole number from 1 on", least=1)
    assert fields["n_workers"].optional
    assert fields["start_timeout"].default == 60.0
    assert not fields["start_timeout"].optional


def test_a_field_knows_the_record_below_it() -> None:
    fields = {entry.name: entry for entry in fields_of(JobSettings)}
    assert fields["stages"].record is settings.StageSettings
    assert fields["stages"].is_table
    assert fields["chunks"].record is settings.ChunkSettings
    assert not fields["chunks"].is_table


WHOLE = Limits("", least=1, words=("auto",), whole=True)
SHARE = Limits("", above=0, most=1)
SWITCH = Limits("", words=("auto", True, False))


@pytest.mark.parametrize(
    ("limits", "value", "holds"),
    [
        (WHOLE, 1, True),
        (WHOLE, 0, False),
        (WHOLE, 1.0, False),
        (WHOLE, "auto", True),
        (WHOLE, "all", False),
        (WHOLE, True, False),
        (WHOLE, None, False),
        (SHARE, 1, True),
        (SHARE, 0.0, False),
        (SHARE, 1.5, False),
        (SHARE, float("nan"), False),
        (SWITCH, True, True),
        (SWITCH, 1, False),
        (SWITCH, "true", False),
    ],
)
def test_limits_hold_numbers_within_bounds_and_words(limits: Limits, value: object, holds: bool) -> None:
    assert limits.hold(value) is holds
