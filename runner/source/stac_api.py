"""STAC items of an API, by pystac-client: its search, page by page."""

import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from runner.base.humanize import one_line
from runner.errors import RunnerError, SourceError, printable
from runner.read.gdal_environment import gdal_environment
from runner.read.network import CONNECT_SECONDS, ca_bundle, cause_of_failure
from runner.read.services import WEB
from runner.settings import StacSettings
from runner.source.stac_catalog import Document, Item, Progress, checked
from runner.source.stac_login import LOGIN_HINT, Login
from runner.source.stores import Stores

if TYPE_CHECKING:
    from pystac_client import ItemSearch
    from pystac_client.exceptions import APIError
    from pystac_client.stac_api_io import StacApiIO

_OPERATORS: Final = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte", "=": "eq", "!=": "neq"}
_CONDITION: Final = re.compile(r"\s*([^<>=!\s]+)\s*(<=|>=|!=|<|>|=)\s*([^<>=!\s].*?)\s*")
_PAGE: Final = 250  # items; some APIs give ten where none is said


def search(
    root: Item, settings: StacSettings, stores: Stores, progress: Progress, login: Login | None = None
) -> list[Item]:
    """The items that an API finds; `root` is its first document.

    Raises SourceError, also where pystac-client is not installed.
    """
    url = root.base
    with _explained(url), gdal_environment(_authorities()), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        items: list[Item] = []
        for page in _search(root, settings, stores, login).pages_as_dicts():
            stores.counts.requests += 1
            features = page.get("features") or []
            items += [Item(checked(feature, url), url) for feature in features]
            progress(len(items), max(len(items), _matched(page, settings)))
    if settings.query and any("QUERY" in str(warning.message) for warning in said):
        raise SourceError(f"{url}: the API does not say that it knows conditions (query); leave out source.stac.query")
    return items


def _search(root: Item, settings: StacSettings, stores: Stores, login: Login | None) -> "ItemSearch":
    url = root.base
    try:
        from pystac_client import Client  # noqa: PLC0415 - an extra, of APIs alone
        from pystac_client.stac_api_io import StacApiIO  # noqa: PLC0415 - as above
        from urllib3 import Retry  # noqa: PLC0415 - as above
    except ImportError as error:
        raise SourceError(
            f"{url}: a STAC API, which is searched by pystac-client; pip install 'cog-stack-runner[stac]'"
        ) from error
    fetch = stores.fetch
    retry = Retry(
        fetch.attempts - 1, backoff_factor=fetch.backoff_seconds, backoff_max=fetch.max_backoff_seconds,
        status_forcelist=(429, 500, 502, 503, 504), allowed_methods=("GET", "POST"),
    )  # fmt: skip
    timeout, io = (CONNECT_SECONDS, fetch.timeout_seconds), StacApiIO(max_retries=retry)
    modifier = _logging_in(io, login) if login else None
    client = Client.open(url, stac_io=io, timeout=timeout, request_modifier=modifier)  # which would undo those of `io`
    return client.search(
        method=_method(root.content),
        collections=settings.collections or None,
        ids=settings.ids or None,
        bbox=settings.bbox,
        datetime=settings.datetime,
        query=conditions(settings.query) or None,
        max_items=settings.max_items,
        limit=min(_PAGE, settings.max_items or _PAGE),
    )


def _logging_in(io: "StacApiIO", login: Login) -> Callable[[Any], Any]:
    """The modifier that sends a login to its host, and to none that a link or a redirect leads to."""

    def with_headers(request: Any) -> Any:
        request.headers = {**(request.headers or {}), **login.headers_for(request.url)}
        return request

    def rebuild_auth(request: Any, answer: Any) -> None:
        by_requests(request, answer)
        if not login.headers_for(request.url):
            for name in login.headers:
                request.headers.pop(name, None)

    by_requests = io.session.rebuild_auth
    io.session.rebuild_auth = rebuild_auth  # type: ignore[method-assign, assignment]  # no other door
    return with_headers


def conditions(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Conditions of STAC's query extension, with numbers as such: pystac-client makes texts of them.

    Raises SourceError.
    """
    query: dict[str, dict[str, Any]] = {}
    for text in texts:
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise SourceError(f"source.stac.query={text}: wanted a property and a value, such as eo:cloud_cover<20")
        query.setdefault(match[1], {})[_OPERATORS[match[2]]] = _value(match[3])
    return query


def _value(text: str) -> Any:
    """A number, true or false, else a text, which may stand in quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'\"")


def _method(root: Document) -> str:
    """POST where the API says that it takes it: pystac-client does not look."""
    links = [link for link in root.get("links", []) if isinstance(link, dict) and link.get("rel") == "search"]
    return "POST" if any(link.get("method") == "POST" for link in links) else "GET"


def _matched(page: dict[str, Any], settings: StacSettings) -> int:
    """The number of items that there are, where the API says it."""
    context = page.get("context")
    matched = page.get("numberMatched") or (context.get("matched") if isinstance(context, dict) else None)
    return min(matched, settings.max_items or matched) if isinstance(matched, int) else 0


def _authorities() -> dict[str, str]:
    """The variable by which requests trusts what our other clients trust."""
    bundle = ca_bundle()
    return {"REQUESTS_CA_BUNDLE": bundle} if bundle else {}


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what pystac-client raises into SourceError."""
    try:
        yield
    except RunnerError:
        raise
    except Exception as error:
        raise SourceError(f"{url}: {_reason(url, error)}") from error


def _reason(url: str, error: "Exception | APIError") -> str:
    status, text = getattr(error, "status_code", None), one_line(error)
    if status in (401, 403):
        return f"the STAC API denies access (status {status}); {LOGIN_HINT}"
    cause = cause_of_failure(text, url, WEB)
    if cause and status is None:
        return cause.sentence
    answer = f" (status {status})" if status else ""
    said = "" if text.startswith("<") or not text else f": {printable(text[:300])}"
    return f"the STAC API cannot be searched{answer}{said}; check source.url and source.stac"
