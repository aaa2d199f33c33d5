"""What the contestants have in common: what they are asked, how they time themselves, what they leave behind."""

import argparse
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:  # a contestant that needs none of these does not pay for them
    import numpy as np
    import numpy.typing as npt

SECONDS_FILE = "seconds.json"


@dataclass(frozen=True, slots=True)
class Task:
    """One job: the scenes that `url` lists at `endpoint`, the first `limit` of them; results go into `folder`."""

    endpoint: str
    url: str
    folder: Path
    limit: int
    size: int

    @property
    def bucket(self) -> str:
        """The bucket of its scenes."""
        return urlsplit(self.url).netloc

    def words(self) -> list[str]:
        """The task as options of a contestant's command line."""
        return [
            f"--endpoint={self.endpoint}",
            f"--url={self.url}",
            f"--folder={self.folder}",
            f"--limit={self.limit}",
            f"--size={self.size}",
        ]


def task_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of a contestant's command line, for it to add options of its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--url", required=True, help="glob of the scenes")
    parser.add_argument("--folder", type=Path, required=True, help="where results go")
    parser.add_argument("--limit", type=int, required=True, help="how many scenes, from the first on")
    parser.add_argument("--size", type=int, required=True, help="rows and columns of a scene")
    return parser


def task_of(options: argparse.Namespace) -> Task:
    """The task in a contestant's options."""
    return Task(options.endpoint, options.url, options.folder, options.limit, options.size)


@dataclass(slots=True)
class Stopwatch:
    """Seconds by the name of what took them; `compute` is from the first pixel asked for to the last result."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to `name`."""
        started = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def save(self, folder: Path) -> None:
        """Leave the figures for the one who compares."""
        (folder / SECONDS_FILE).write_text(json.dumps(self.seconds))


def set_gdal_environment(task: Task, options: dict[str, str]) -> None:
    """The peers' way of setting GDAL: the environment, before it is loaded, so that worker processes inherit it."""
    os.environ.update(
        options,
        AWS_S3_ENDPOINT=urlsplit(task.endpoint).netloc,
        AWS_HTTPS="NO",
        AWS_VIRTUAL_HOSTING="FALSE",
        AWS_NO_SIGN_REQUEST="YES",
    )


def list_scenes(task: Task) -> list[str]:
    """The hrefs in order of date, listed with s3fs as the notebook does."""
    import s3fs

    bucket = s3fs.S3FileSystem(anon=True, endpoint_url=task.endpoint)
    return sorted((f"s3://{key}" for key in bucket.glob(task.url)), key=date_of)[: task.limit]


def list_keys(task: Task) -> list[str]:
    """The keys in order of date, listed without a library."""
    prefix, _, name = urlsplit(task.url).path.removeprefix("/").partition("**")
    query, more, keys = f"/{task.bucket}?list-type=2&prefix={quote(prefix)}", "", []
    connection = HTTPConnection(urlsplit(task.endpoint).netloc)
    while True:
        connection.request("GET", query + more)
        answer = connection.getresponse()
        page = answer.read().decode()
        if answer.status != 200:
            raise SystemExit(f"{query}: status {answer.status}")
        keys += [key for key in re.findall("<Key>(.*?)</Key>", page) if key.endswith(name)]
        token = re.search("<NextContinuationToken>(.*?)</NextContinuationToken>", page)
        if token is None and not keys:
            raise SystemExit(f"{task.url}: no scenes at {task.endpoint}")
        if token is None:
            return sorted(keys, key=date_of)[: task.limit]
        more = f"&continuation-token={quote(token[1], safe='')}"


def date_of(href: str) -> str:
    """The day of a scene, as in its key: 20200106."""
    found = re.search(r"_(\d{8})_", href)
    assert found is not None
    return found[1]


def write_table(path: Path, hrefs: Sequence[str], means: "npt.NDArray[np.floating]") -> None:
    """One row per scene."""
    import pandas as pd

    pd.DataFrame({"datetime": pd.to_datetime([*map(date_of, hrefs)]), "mean": means}).to_parquet(path)
