"""Secrets are blanked out by the value they have and by where they stand."""

import logging

import pytest

from runner.log.redact import RedactingFormatter, redact, redact_tree

CANARY = "canary-4711-secret"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)


@pytest.mark.parametrize("text", [CANARY, f"--{CANARY}--", f"http://me:{CANARY}@host/x", "http://me:other@host/x"])
def test_text_holds_no_secret(text: str) -> None:
    assert CANARY not in redact(text)
    assert "other" not in redact(text)


def test_a_tree_holds_no_secret_under_any_key() -> None:
    tree = {"a": [CANARY, {"b": f"x{CANARY}"}], "session_token": "short", "n": 3, "none": None}
    assert redact_tree(tree) == {
        "a": ["[redacted]", {"b": "x[redacted]"}],
        "session_token": "[redacted]",
        "n": 3,
        "none": None,
    }


def test_a_traceback_in_the_log_holds_no_secret() -> None:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "failed", None, (type(error), error, error.__traceback__)
        )
    assert CANARY not in RedactingFormatter("%(message)s").format(record)


def test_ordinary_text_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "a")
    assert redact("s3://bucket/a/key.tif") == "s3://bucket/a/key.tif"
