"""Secrets are blanked out by the value they have and by where they stand."""

import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.base.redact import BLANK, SECRET_NAMES, RedactingFormatter, names_a_secret, redact, redact_tree
from runner.base.redact import _blanked_values as blanked_values

CANARY = "canary-4711-secret"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)


@pytest.mark.parametrize(
    "text",
    [
        f"http://{CANARY}@host/x",
        f"https://host/key?X-Amz-Signature={CANARY}&x=1",
        f"https://host/key?a=1&sig={CANARY}",
        f"https://host/key?X-Amz-Credential={CANARY}%2F20200101",
        f"Authorization: Bearer {CANARY}",
        f"{{'x-amz-security-token': b'{CANARY}', 'a': 1}}",
        f"GDAL_HTTP_USERPWD=me:{CANARY}",
        f"aws_secret_access_key={CANARY}",
        f"AccountKey={CANARY};AccountName=me",
        f"SWIFT_KEY={CANARY}",
    ],
)
def test_what_stands_in_a_secrets_place_is_blanked_out(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert CANARY not in redact(text)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GDAL_HTTP_HEADERS", f"Authorization: Bearer {CANARY},X-Other: something"),
        ("GDAL_HTTP_USERPWD", f"me:{CANARY}"),
        ("AWS_ENDPOINT_URL", f"http://me:{CANARY}@host:80/path"),
        ("AWS_ENDPOINT_URL", f"http://host:80/?X-Amz-Signature={CANARY}"),
        ("HTTPS_PROXY", f"http://me:{CANARY}@proxy:3128"),
        ("HTTPS_PROXY", f"me:{CANARY}@proxy:3128"),
        ("AZURE_STORAGE_CONNECTION_STRING", f"AccountKey={CANARY};AccountName=me"),
        ("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=me;AccountKey={CANARY}"),
        ("SWIFT_KEY", CANARY),
        ("DASK_DISTRIBUTED__COMM__TLS__KEYPASS", CANARY),
        ("SSH_PASSPHRASE", CANARY),
        ("DB_PASS", CANARY),
    ],
)
def test_a_part_of_a_variable_that_is_a_secret_is_blanked_out_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv(name, value)
    assert CANARY not in redact(f"the server said {CANARY} is wrong")
    assert redact("the server said no") == "the server said no"


@pytest.mark.parametrize("form", [quote, repr, json.dumps])
def test_a_secret_is_found_however_it_is_written(monkeypatch: pytest.MonkeyPatch, form: Callable[[str], str]) -> None:
    monkeypatch.setenv("SOME_TOKEN", "se/cr+et\\n'x")
    assert "cr" not in redact(f"x {form('se/cr+et' + chr(92) + 'n' + chr(39) + 'x')} y")


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


@pytest.mark.parametrize("key", ["distributed.comm.tls.keypass", "distributed.comm.tls.client.key", "passphrase"])
def test_a_value_goes_whole_by_the_name_it_stands_under(key: str) -> None:
    assert redact_tree({key: "x"}) == {key: "[redacted]"}


def test_a_record_keeps_its_own_words() -> None:
    tree = {"pass": "spatial_mean", "passes": ["x"], "SWIFT_MAX_KEYS": "9", "key": "a.tif"}
    assert redact_tree(tree) == tree


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


def test_where_something_lies_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OLDPWD", str(tmp_path))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", os.fspath(tmp_path))
    assert redact(f"{tmp_path}/run.json") == f"{tmp_path}/run.json"


def test_a_tree_becomes_what_json_holds() -> None:
    assert redact_tree({"nodata": float("nan"), 1: (Path("a"), 2.5, True)}) == {"nodata": "nan", "1": ["a", 2.5, True]}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("gdal.options.GDAL_HTTP_HEADERS=x", True),
        ("gdal.options={GDAL_HTTP_HEADERS: 'x", True),
        ("source.s3={secret: abc}", True),
        ("source.s3.endpoint_url=http://a:b@host", True),
        ("source.s3.endpoint_url=http://host/?X-Amz-Signature=abc", True),
        ("gdal.options.GDAL_HTTP_PROXY=me:abc@proxy:3128", True),
        ("gdal.options.GDAL_HTTP_PROXY=proxy:3128", False),
        ("gdal.options.SWIFT_MAX_KEYS=9", False),
        ("a.secret=", False),
        ("stages.x.statistics=[mean,count]", False),
        ("source.url=s3://bucket/**/*.tif", False),
        (r"source.datetime_regex=(?P<date>\d{8})", False),
    ],
)
def test_settings_that_hold_a_secret_are_told_from_others(text: str, is_one: bool) -> None:
    assert names_a_secret(text) is is_one


ATOMS = [
    "secret", "token", "key", "_key", "MAX_KEYS", "pass", "passes", "pwd", "SAS", "sas", "api_key", "é", "a", "=", "=",
    "&", ";", ".", "-", "@", "://", "'", '"', "(", "${oc.env:X}", "[redacted]", " ", "\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(ATOMS), max_size=14).map("".join))
def test_values_are_those_that_one_pattern_of_all_names_finds(text: str) -> None:
    pattern = rf"(?<![\w.-])([\w.-]*?(?:{SECRET_NAMES.pattern})[\w.-]*=)(?!\$\{{|\[redacted])[^\s&,;)\]}}'\"]+"
    expected = re.sub(pattern, rf"\1{BLANK}", text, flags=re.IGNORECASE)
    assert blanked_values(text) == expected
