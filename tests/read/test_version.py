"""ETags mean the same in every form that servers give them, and are asked for in the forms that servers take."""

import pytest

from runner.read.version import if_match, same_version

FORMS = ['"0a1b"', "0a1b", 'W/"0a1b"', '"0A1B"', '"0a1b-gzip"', '"0a1b--gzip"', 'W/"0a1b-gzip"', '"0a1b;gzip"']


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_one_etag_are_one_version(form: str) -> None:
    assert same_version('"0a1b"', form)
    assert same_version(form, '"0a1b"')


def test_case_matters_where_an_etag_is_not_hexadecimal() -> None:
    assert not same_version('"CAFy"', '"cafy"')
    assert not same_version('"a1B_"', '"a1b_"')
    assert same_version('"CAFE-2"', '"cafe-2"')


@pytest.mark.parametrize("other", ['"0a1c"', '"0a1b-1"', '"0a1b-2"', '""', "", 'W/""', '"gzip"'])
def test_other_etags_are_other_versions(other: str) -> None:
    assert not same_version('"0a1b"', other)


@pytest.mark.parametrize(
    ("etag", "sent"),
    [
        ('"0a1b"', '"0a1b"'),
        ('"0A1B"', '"0A1B"'),
        ('"0a1b-12"', '"0a1b-12"'),
        ('W/"0a1b"', None),  # never matches, by RFC 9110
        ("0a1b", None),  # not an ETag, by its grammar
        ('"0a1b-gzip"', None),  # the server does not know its own ending again
        ('"0a 1b"', None),
        (None, None),
    ],
)
def test_a_precondition_has_a_form_that_servers_take(etag: str | None, sent: str | None) -> None:
    assert if_match(etag) == sent
