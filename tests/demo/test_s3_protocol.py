"""S3's rules for listings, ranges and signatures, held against Amazon's words and worked examples."""

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.demo.s3_protocol import Credentials, ListQuery, ObjectInfo, S3Error, byte_range, check_signature, list_page

S3_NAMESPACE = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}


# The worked examples of "Signature Calculations for the Authorization Header", Amazon S3 API Reference.
EXAMPLE_KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EXAMPLE_TIME = datetime(2013, 5, 24, 0, 0, 30, tzinfo=UTC)
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
EXAMPLES = {
    "GET Object": (
        "/test.txt", {"range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "GET Bucket": ("/?max-keys=2&prefix=J", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
}  # fmt: skip


def example_headers(extra: dict[str, str], signature: str) -> dict[str, str]:
    headers = {"host": "examplebucket.s3.amazonaws.com", **extra}
    headers |= {"x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": "20130524T000000Z"}
    scope = f"Credential={EXAMPLE_KEYS.access_key}/20130524/us-east-1/s3/aws4_request"
    line = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders={';'.join(headers)}, Signature={signature}"
    return headers | {"authorization": line}


@pytest.mark.parametrize("name", EXAMPLES)
def test_amazons_own_examples_are_accepted(name: str) -> None:
    target, extra, signature = EXAMPLES[name]
    check_signature("GET", target, example_headers(extra, signature), EXAMPLE_KEYS, EXAMPLE_TIME)


@pytest.mark.parametrize(
    ("target", "now", "code"),
    [
        ("/test.txt?x=1", EXAMPLE_TIME, "SignatureDoesNotMatch"),
        ("/text.txt", EXAMPLE_TIME, "SignatureDoesNotMatch"),
        ("/test.txt", EXAMPLE_TIME.replace(minute=16), "RequestTimeTooSkewed"),
    ],
)
def test_a_signature_is_for_one_target_and_a_quarter_of_an_hour(target: str, now: datetime, code: str) -> None:
    _, extra, signature = EXAMPLES["GET Object"]
    with pytest.raises(S3Error) as refusal:
        check_signature("GET", target, example_headers(extra, signature), EXAMPLE_KEYS, now)
    assert refusal.value.code == code


def read_pages(keys: set[str], page_size: int, **query: str) -> list[str]:
    """Every entry of a listing, in the order it came, page by page as a client does."""
    entries: list[str] = []
    token = ""
    while True:
        asked = ListQuery.parse({"list-type": "2", "encoding-type": "url", "continuation-token": token, **query})
        page = list_page("b", asked, [k for k in keys if k.startswith(asked.prefix)], page_size, described)
        listing = ET.fromstring(page)
        found = [e.text or "" for e in listing.iterfind("s3:Contents/s3:Key", S3_NAMESPACE)]
        found += [e.text or "" for e in listing.iterfind("s3:CommonPrefixes/s3:Prefix", S3_NAMESPACE)]
        assert len(found) == int(listing.findtext("s3:KeyCount", default="", namespaces=S3_NAMESPACE)) <= page_size
        entries += found
        token = listing.findtext("s3:NextContinuationToken", default="", namespaces=S3_NAMESPACE)
        if not token:
            return entries


def described(key: str) -> ObjectInfo:
    return ObjectInfo(key, '"e"', datetime(2020, 1, 6, tzinfo=UTC), len(key))


@given(
    keys=st.sets(st.text("ab/", min_size=1, max_size=6), max_size=20),
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "b", "ab"]),
    page_size=st.integers(1, 5),
)
def test_pages_hold_each_key_or_common_prefix_once(keys: set[str], prefix: str, delimiter: str, page_size: int) -> None:
    matching = {key for key in keys if key.startswith(prefix)}
    # The rule in Amazon's words: what follows the prefix, up to and with the first delimiter, stands for all such keys.
    expected = {
        prefix + key[len(prefix) :].split(delimiter)[0] + delimiter
        for key in matching
        if delimiter and delimiter in key[len(prefix) :]
    }
    expected |= {key for key in matching if not (delimiter and delimiter in key[len(prefix) :])}
    assert sorted(read_pages(keys, page_size, prefix=prefix, delimiter=delimiter)) == sorted(expected)


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 10, None),
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=3-", 10, (3, 7)),
        ("bytes=-4", 10, (6, 4)),
        ("bytes=-99", 10, (0, 10)),
        ("bytes=8-99", 10, (8, 2)),
        ("bytes=5-2", 10, None),  # no range at all, says RFC 9110; S3 answers with the whole object
        ("bytes=0-1,4-5", 10, None),  # S3 has no multipart answers
        ("bytes=-", 10, None),
        ("lines=1-2", 10, None),
    ],
)
def test_a_range_header_means(header: str | None, size: int, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, size) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-0", 0), ("bytes=-1", 0)])
def test_a_range_of_no_bytes_is_refused(header: str | None, size: int) -> None:
    with pytest.raises(S3Error) as refusal:
        byte_range(header, size)
    assert (refusal.value.status, refusal.value.code) == (416, "InvalidRange")
