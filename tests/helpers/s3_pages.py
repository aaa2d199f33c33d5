"""Pages of a listing as S3 writes them."""

from collections.abc import Sequence
from urllib.parse import quote_plus
from xml.sax.saxutils import escape


def page_xml(keys: Sequence[str], token: str | None = None, asked: str | None = None, **changes: str) -> bytes:
    """A page as S3 writes it, keys encoded; `changes` replace its own words, None leaves them out."""
    said = {
        "EncodingType": "url",
        "KeyCount": str(len(keys)),
        "IsTruncated": str(token is not None).lower(),
        "NextContinuationToken": token,
        "ContinuationToken": asked,
        **changes,
    }
    head = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in said.items() if text is not None)
    items = "".join(
        f"<Contents><Key>{escape(quote_plus(key, safe='/'))}</Key><LastModified>2020-01-02T03:04:05.000Z</LastModified>"
        f'<ETag>"{number}"</ETag><Size>7</Size></Contents>'
        for number, key in enumerate(keys)
    )
    return f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{head}{items}' \
        "</ListBucketResult>".encode()  # fmt: skip
