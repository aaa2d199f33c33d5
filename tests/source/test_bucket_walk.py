"""Globs over buckets: what a walk finds is what all keys hold, in few requests, and many of them at once."""

import asyncio
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from fsspec.utils import glob_translate
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import Answer, Asked, scripted_server
from waiting import LONG

from runner.demo.s3_protocol import ListQuery, ObjectInfo, list_page
from runner.errors import SourceError
from runner.model import StoredObject
from runner.read.fetch import FetchOptions
from runner.settings import S3Settings, SourceSettings
from runner.source.bucket_walk import walk
from runner.source.listing import list_objects
from runner.source.s3_pages import Listing, PageRequest, read_page
from runner.source.stores import Stores

NOW = datetime(2020, 1, 6, tzinfo=UTC)


class Keys:
    """The keys of a bucket, as our S3 server lists them."""

    def __init__(self, keys: Sequence[str], page_size: int = 1000) -> None:
        self.sorted, self.page_size = sorted(keys), page_size

    def page(self, query: dict[str, str]) -> bytes:
        """The answer to ListObjectsV2."""
        prefix = query.get("prefix", "")
        first, last = bisect_left(self.sorted, prefix), bisect_left(self.sorted, prefix + "\U0010ffff")
        below = self.sorted[first:last]
        return list_page("b", ListQuery.parse(query), below, self.page_size, self._described).encode()

    def _described(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, f'"{hash(key)}"', NOW, 7)


class CountedPages:
    """The pages of a listing of such a bucket, without a server; their requests are kept."""

    def __init__(self, keys: Keys, prefix: str, asked: list[str], *, in_folder: bool) -> None:
        self.ended, self._keys, self._asked, self._listing = False, keys, asked, Listing()
        self._request = PageRequest("b", prefix, None, in_folder)

    @property
    def objects(self) -> list[StoredObject]:
        return list(self._listing.objects.values())

    @property
    def folders(self) -> list[str]:
        return list(self._listing.folders)

    async def more(self) -> None:
        prefix, token = self._request.prefix, self._request.token
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "continuation-token": token or ""}
        self._asked.append(prefix)
        page = read_page(
            self._keys.page(query | {"delimiter": "/"} if self._request.in_folder else query), self._request
        )
        self._listing.add(page)
        self.ended, self._request = page.token is None, self._request._replace(token=page.token)


class CountedBucket:
    def __init__(self, keys: Sequence[str], page_size: int) -> None:
        self._keys, self.asked = Keys(keys, page_size), list[str]()

    def flat(self, prefix: str) -> CountedPages:
        return CountedPages(self._keys, prefix, self.asked, in_folder=False)

    def folder(self, prefix: str) -> CountedPages:
        return CountedPages(self._keys, prefix, self.asked, in_folder=True)


parts = st.sampled_from(["a", "b", "ab", "2020", "2021", "x.tif", "y.tif", "x.tif.aux.xml", "+ é"])
globs = st.one_of(parts, st.sampled_from(["*", "*", "20*", "?", "[ab]*", "**", "*.tif", "**"]))


@settings(max_examples=50)
@given(
    st.sets(st.lists(parts, min_size=1, max_size=5).map("/".join), max_size=60),
    st.lists(globs, min_size=1, max_size=5).map("/".join),
    st.sampled_from([1, 2, 3, 10, 1000]),
)
def test_a_walk_finds_what_matches_with_all_that_lies_beside_it(keys: set[str], pattern: str, page_size: int) -> None:
    found = asyncio.run(walk(CountedBucket(sorted(keys), page_size), pattern))
    names = [item.href.removeprefix("s3://b/") for item in found.objects]
    matching = {key for key in keys if re.match(glob_translate(pattern), key)}
    folders = {key.rpartition("/")[0] for key in matching}
    assert {key for key in keys if key.rpartition("/")[0] in folders} <= set(names) <= keys
    assert bool(found.others) <= (not matching)


@pytest.mark.parametrize(
    ("keys", "pattern", "calls"),
    [
        ([f"t/{tile}/a.tif" for tile in range(500)], "t/*/a.tif", 1),  # all on one page
        ([f"t/{tile}/{scene}/a.tif" for tile in range(3) for scene in range(1000)], "t/*/*/a.tif", 5),
        ([f"t/{scene}/a.tif" for scene in range(5000)], "t/*/a.tif", 5),  # a folder for each scene: flat
        ([f"t/{scene}.tif" for scene in range(2500)] + [f"t/x/{n}" for n in range(9000)], "t/*.tif", 3),
        ([f"t/{n}/deep/{scene}.tif" for n in range(4) for scene in range(3000)], "t/2/**/*.tif", 3),
        ([f"t/{n}/deep/{scene}.tif" for n in range(4) for scene in range(3000)], "t/[23]/**/*.tif", 8),
    ],
)
def test_the_cheaper_way_is_taken(keys: list[str], pattern: str, calls: int) -> None:
    bucket = CountedBucket(keys, 1000)
    asyncio.run(walk(bucket, pattern))
    assert len(bucket.asked) == calls, bucket.asked


def source_at(endpoint: str, pattern: str) -> tuple[SourceSettings, Stores]:
    s3 = S3Settings(endpoint_url=endpoint, anonymous=True)
    source = SourceSettings(url=f"s3://b/{pattern}", datetime_regex=r"(?P<date>\d{8})", s3=s3)
    return source, Stores(s3, FetchOptions(attempts=2, timeout_seconds=LONG))


def test_a_year_of_twenty_tiles_of_ten_thousand_keys_takes_a_few_dozen_requests_many_at_once() -> None:
    years, days = range(2015, 2025), range(10, 20)
    scenes = [f"{year}/{year}01{day}.tif" for year in years for day in days]
    wanted = [f"tiles/10T{tile:02}/{scene}" for tile in range(20) for scene in scenes]
    others = [f"tiles/10T{tile:02}/{2015 + n % 10}/other/{n}.jp2" for tile in range(20) for n in range(9900)]
    keys, under_way, most = Keys([*wanted, *others]), 0, 0
    assert len(keys.sorted) == 200_000
    lock = threading.Lock()

    def script(asked: Asked) -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        stop = time.monotonic() + LONG
        while "2020" in asked.query["prefix"] and most < 16 and time.monotonic() < stop:
            time.sleep(0.001)  # the folders of the tiles are asked for together
        with lock:
            under_way -= 1
        return Answer(body=keys.page(asked.query))

    with scripted_server(script) as server:
        source, stores = source_at(server.endpoint, "tiles/*/2020/*.tif")
        found = list_objects(source, stores)
    assert [item.href for item in found] == sorted(f"s3://b/{key}" for key in wanted if "/2020/" in key)
    assert len(found) == 200
    assert all(item.etag and item.size == 7 and item.modified for item in found)
    assert stores.counts.requests == len(server.asked) == 22
    assert most >= 16


def test_where_nothing_matches_what_lies_there_is_named() -> None:
    keys = Keys([f"tiles/{tile}/2020/{n}.tif" for tile in range(3) for n in range(400)])
    with scripted_server(lambda asked: Answer(body=keys.page(asked.query))) as server:
        source, stores = source_at(server.endpoint, "tiles/*/2021/*.tif")
        with pytest.raises(SourceError, match=r"nothing matches; 1200 files .tif there, such as s3://b/tiles/0/2020/0"):
            list_objects(source, stores)


def test_a_server_that_knows_no_folders_is_listed_whole() -> None:
    keys = Keys([f"tiles/{tile}/2020/{n}.tif" for tile in range(3) for n in range(600)])
    with scripted_server(lambda asked: Answer(body=keys.page({**asked.query, "delimiter": ""}))) as server:
        source, stores = source_at(server.endpoint, "tiles/1/*/*.tif")
        assert len(list_objects(source, stores)) == 600
        source, stores = source_at(server.endpoint, "tiles/*/2020/*.tif")
        assert len(list_objects(source, stores)) == 1800
