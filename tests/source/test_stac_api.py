"""Items of a STAC API are searched for by pystac-client, page by page; what goes wrong is one line."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from scripted_server import Answer, Asked, ScriptedServer, scripted_server
from stac_items import collection_of, link, make_item

from runner.errors import ConfigError, SourceError
from runner.model import StoredObject
from runner.read.fetch import FetchOptions
from runner.settings import SourceKind, SourceSettings, StacSettings
from runner.source.listing import list_objects
from runner.source.stac_api import conditions
from runner.source.stac_login import Login
from runner.source.stores import Stores

QUICK = FetchOptions(attempts=3, backoff_seconds=0.001)
CLASSES = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"


def api(search: Callable[[Asked], Answer], *classes: str) -> Callable[[Asked], Answer]:
    """An API that searches by GET alone."""

    def script(asked: Asked) -> Answer:
        if asked.path == "/search":
            return search(asked)
        root = f"http://{asked.headers['host']}"
        links = [
            link("root", root),
            link("self", root),
            link("search", f"{root}/search", method="GET", type="application/geo+json"),
        ]
        return as_json({"type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "x",
                        "conformsTo": [*CLASSES, *classes], "links": links})  # fmt: skip

    return script


def as_json(content: object) -> Answer:
    return Answer(body=json.dumps(content).encode(), headers={"Content-Type": "application/geo+json"})


def absolute(name: str) -> dict[str, Any]:
    return make_item(name, assets={"red": {"href": f"https://host/{name}.tif"}})


def listed(server: ScriptedServer, **stac: Any) -> list[StoredObject]:
    source = SourceSettings(kind=SourceKind.stac, url=server.endpoint, asset="red", stac=StacSettings(**stac))
    return list_objects(source, Stores.of_source(source, QUICK))


def test_pages_of_a_search_are_followed_and_an_item_on_two_pages_is_one_scene() -> None:
    def search(asked: Asked) -> Answer:
        page = int(asked.query.get("token", "0"))
        links = [link("next", f"http://{asked.headers['host']}/search?token={page + 1}")] if page < 2 else []
        return as_json(collection_of([absolute(f"i{page}"), absolute(f"i{page + 1}")], links=links, numberMatched=4))

    with scripted_server(api(search)) as server:
        assert [item.href for item in listed(server)] == [f"https://host/i{number}.tif" for number in range(4)]


def test_what_is_searched_for_is_told_to_the_api() -> None:
    chosen = {"collections": ["c", "d"], "ids": ["i0"], "bbox": [10, 40, 11, 41], "datetime": "2020-01/2020-02"}
    with scripted_server(api(lambda asked: as_json(collection_of([absolute("i0")])), QUERY)) as server:
        assert len(listed(server, **chosen, query=["eo:cloud_cover<20"], max_items=7)) == 1
        (query,) = [asked.query for asked in server.asked if asked.path == "/search"]
    assert (query["collections"], query["ids"], query["bbox"], query["limit"]) == (
        "c,d",
        "i0",
        "10.0,40.0,11.0,41.0",
        "7",
    )
    assert query["datetime"] == "2020-01-01T00:00:00Z/2020-02-29T23:59:59Z"
    assert json.loads(query["query"]) == {"eo:cloud_cover": {"lt": 20}}


def test_no_more_items_are_taken_than_asked_for() -> None:
    items = [absolute(f"i{number}") for number in range(5)]
    with scripted_server(api(lambda asked: as_json(collection_of(items)))) as server:
        assert len(listed(server, max_items=3)) == 3


def test_a_search_that_fails_for_a_moment_is_tried_again() -> None:
    failures = iter([503, 429])

    def search(asked: Asked) -> Answer:
        status = next(failures, 200)
        return as_json(collection_of([absolute("i0")])) if status == 200 else Answer(status)

    with scripted_server(api(search)) as server:
        assert len(listed(server)) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(403), "the STAC API denies access .status 403.; .*source.stac.login_from=STAC_TOKEN"),
        (
            Answer(400, b'{"description": "bad box"}'),
            "cannot be searched .status 400.: .*bad box.*; check source.url",
        ),
        (Answer(500), "the STAC API cannot be searched"),
        (Answer(body=b"<html>"), "the STAC API cannot be searched"),
        (as_json(collection_of([{"id": "x"}])), "x is not a STAC item"),
        (as_json(collection_of([])), "no STAC item is of source.stac.collections="),
    ],
)
def test_a_search_that_fails_is_one_line(answer: Answer, words: str) -> None:
    with scripted_server(api(lambda asked: answer)) as server, pytest.raises(SourceError, match=words):
        listed(server, collections=["c"])


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"datetime": "yesterday"}, "the STAC API cannot be searched: .*yesterday"),
        (
            {"query": ["eo:cloud_cover<20"]},
            "does not say that it knows conditions .query.; leave out",
        ),
    ],
)
def test_conditions_that_the_api_cannot_take_are_refused(chosen: dict[str, Any], words: str) -> None:
    items = as_json(collection_of([absolute("i0")]))
    with scripted_server(api(lambda asked: items)) as server, pytest.raises(SourceError, match=words):
        listed(server, **chosen)


# --- a login --------------------------------------------------------------------------------------------------------


def with_login(search: Callable[[Asked], Answer], header: str, value: str) -> Callable[[Asked], Answer]:
    """The same API for those who know the login."""
    open_api = api(search)
    return lambda asked: open_api(asked) if asked.headers.get(header) == value else Answer(401)


@pytest.mark.parametrize(
    ("secret", "header", "value"),
    [
        ("abc-123", "authorization", "Bearer abc-123"),
        ("X-API-Key: abc-123", "x-api-key", "abc-123"),
        ("Accept-Language: de\nAuthorization: Basic eA==", "authorization", "Basic eA=="),
    ],
)
def test_a_login_of_the_environment_is_sent(
    monkeypatch: pytest.MonkeyPatch, secret: str, header: str, value: str
) -> None:
    monkeypatch.setenv("STAC_TOKEN", secret)
    items = as_json(collection_of([absolute("i0")]))
    with scripted_server(with_login(lambda asked: items, header, value)) as server:
        assert len(listed(server, login_from="STAC_TOKEN")) == 1
        with pytest.raises(SourceError, match="denies|denied"):
            listed(server)


def test_a_login_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAC_TOKEN", "X-API-Key: abc-123")
    page = as_json(collection_of([absolute("i1")]))
    with scripted_server(lambda asked: page) as other:

        def search(asked: Asked) -> Answer:
            if "moved" in asked.query:
                return Answer(307, headers={"Location": f"{other.endpoint}/moved"})
            links = [link("next", f"{other.endpoint}/linked"), link("next", f"{server.endpoint}/search?moved=1")]
            first = "token" not in asked.query
            return as_json(collection_of([absolute("i0")], links=links[:1] if first else []))

        with scripted_server(with_login(search, "x-api-key", "abc-123")) as server:
            assert len(listed(server, login_from="STAC_TOKEN")) == 2
            server.script = with_login(
                lambda asked: search(asked._replace(query={"moved": "1"})), "x-api-key", "abc-123"
            )
            assert len(listed(server, login_from="STAC_TOKEN")) == 1
        assert [asked.path for asked in other.asked] == ["/linked", "/moved"]
        assert not any("x-api-key" in asked.headers for asked in other.asked)


def test_a_login_opens_a_catalog_and_all_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAC_TOKEN", "abc-123")
    catalog = {"type": "Catalog", "id": "x", "links": [link("item", "./i0.json")]}

    def script(asked: Asked) -> Answer:
        if asked.headers.get("authorization") != "Bearer abc-123":
            return Answer(401)
        return as_json(absolute("i0") if asked.path == "/i0.json" else catalog)

    with scripted_server(script) as server:
        assert len(listed(server, login_from="STAC_TOKEN")) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "the environment has no such variable"), (" ", "no such variable"), ("X-API-Key:", "wanted a token in it")],
)
def test_a_variable_without_a_login_is_refused(monkeypatch: pytest.MonkeyPatch, value: str | None, words: str) -> None:
    monkeypatch.delenv("STAC_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("STAC_TOKEN", value)
    with pytest.raises(ConfigError, match=f"source.stac.login_from=STAC_TOKEN: .*{words}"):
        Login.of("https://host", "STAC_TOKEN")


def test_without_pystac_client_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pystac_client", None)
    extra = r"pip install 'cog-stack-runner\[stac\]'"
    with scripted_server(api(lambda asked: Answer(500))) as server, pytest.raises(SourceError, match=extra):
        listed(server)


@pytest.mark.parametrize(
    ("texts", "query"),
    [
        (["eo:cloud_cover<20", "eo:cloud_cover >= 5"], {"eo:cloud_cover": {"lt": 20, "gte": 5}}),
        (["platform=sentinel-2a"], {"platform": {"eq": "sentinel-2a"}}),
        (["s2:mgrs_tile!='10TET'"], {"s2:mgrs_tile": {"neq": "10TET"}}),
        (["flag=true", "gsd<=2.5"], {"flag": {"eq": True}, "gsd": {"lte": 2.5}}),
    ],
)
def test_conditions_have_numbers_as_such(texts: list[str], query: dict[str, Any]) -> None:
    assert conditions(texts) == query


@pytest.mark.parametrize("text", ["eo:cloud_cover", "<20", "a<", "a<>3", "a==3"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="wanted a property and a value, such as eo:cloud_cover<20"):
        conditions([text])
