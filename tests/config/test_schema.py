"""The JSON schema takes every config file of ours, and refuses mistakes as the runner does."""

import json
from pathlib import Path

import pytest
from jobs import ROOT
from jsonschema import Draft202012Validator, ValidationError
from omegaconf import OmegaConf

from runner.config.schema import main, object_schema, schema
from runner.config.setting_fields import fields_of
from runner.errors import ConfigError
from runner.settings import ClusterSettings, JobSettings

FILES = [path for path in sorted((ROOT / "conf").rglob("*.yaml")) if "hydra" not in path.parts]  # those are Hydra's own
GROUPS = ["experiment", "source", "gdal", "chunks", "cluster", "stage", "output", "debug"]


def loaded(path: Path) -> object:
    return OmegaConf.to_container(OmegaConf.load(path))


def refusal(group: str, values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Draft202012Validator(schema(group)).validate(values)
    return caught.value.message


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_file_of_ours_is_valid(path: Path) -> None:
    group = path.parent.name if path.parent.name != "conf" else "experiment"
    Draft202012Validator(schema(group)).validate(loaded(path))


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_has_a_schema_that_is_one(group: str) -> None:
    Draft202012Validator.check_schema(schema(group))


@pytest.mark.parametrize("group", GROUPS)
def test_every_key_has_a_description(group: str) -> None:
    made = schema(group)
    properties = [made["properties"], *(one.get("properties", {}) for one in made["$defs"].values())]
    assert all(entry["description"] for table in properties for entry in table.values())


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("experiment", {"source": {"limt": 3}}),
        ("experiment", {"sorce": {"limit": 3}}),
        ("experiment", {"source": {"s3": {"secret": "x"}}}),
        ("experiment", {"source": {"limit": 0}}),
        ("experiment", {"source": {"limit": "three"}}),
        ("experiment", {"source": {"band": None}}),
        ("experiment", {"source": {"nodata": "water"}}),
        ("experiment", {"source": {"exclude": "*a*"}}),
        ("experiment", {"source": "local"}),
        ("experiment", {"mask": {"own": "nodatta"}}),
        ("experiment", {"fuse": 1}),
        ("experiment", {"chunks": {"y": "blcok"}}),
        ("experiment", {"chunks": {"time": "block"}}),
        ("experiment", {"chunks": {"y": 1.5}}),
        ("experiment", {"output": {"level": 10}}),
        ("experiment", {"output": {"compression": "zip"}}),
        ("experiment", {"sweep": {"keep": 0}}),
        ("experiment", {"sweep": {"objective": ["wal"]}}),
        ("experiment", {"stages": {"Mean": {}}}),
        ("experiment", {"stages": {"mean": {"cluster": {"n_worker": 1}}}}),
        ("experiment", {"stages": {"mean": {"cluster": {"silent_timeout": 0}}}}),
        ("experiment", {"gdal": {"options": {"VSI_CURL_CACHE_SIZE": 1}}}),
        ("experiment", {"gdal": {"options": {"GDAL_DRIVER_PATH": "/x"}}}),
        ("experiment", {"defaults": [{"override /sorce": "demo"}]}),
        ("source", {"source": {"limit": 3}}),
        ("source", {"hydra": {}}),
        ("cluster", {"n_worker": 3}),
    ],
)
def test_a_mistake_is_refused(group: str, values: object) -> None:
    assert refusal(group, values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"source": {"limit": "${oc.env:LIMIT}", "band": "${my.band}", "s3": "${my.s3}", "exclude": ["${my.scene}"]}},
        {"mask": "${my.mask}", "chunks": {"y": "${my.rows}", "snap": "${my.snap}"}, "stages": "${my.stages}"},
        {"source": {"url": "???", "start": 2020, "nodata": float("nan"), "valid_range": [0, 1.5]}},
        {"source": {"nodata": 0, "limit": None}, "fuse": True, "chunks": {"time": 3, "y": "all", "x": "block"}},
        {"gdal": {"options": {"GDAL_CACHEMAX": 512, "GDAL_HTTP_MULTIRANGE": "YES", "VSI_CACHE": False}}},
        {"defaults": ["_self_", {"override /source": "mine"}, {"optional /chunks@stages.a.chunks": None}]},
        {"defaults": [{"override /hydra/launcher": "isolated"}], "hydra": {"mode": "MULTIRUN"}},
        {"stages": {"months": {"over": "time", "statistics": ["median"], "chunks": None}}},
    ],
)
def test_what_the_runner_takes_is_valid(values: object) -> None:
    Draft202012Validator(schema()).validate(values)


LIMITED = [
    (owner, entry.name)
    for owner in (JobSettings, *(entry.record for entry in fields_of(JobSettings) if entry.record), ClusterSettings)
    for entry in fields_of(owner)
    if entry.limits is not None
]
SECTIONS = schema()["$defs"]
VALUES = [-1, 0, 1, 9, 10, 0.5, 1.5, "auto", "all", "block", "zstd", "x", True, False, None]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize(("owner", "name"), LIMITED, ids=lambda one: getattr(one, "__name__", one))
def test_the_schema_and_the_runner_agree_on_limits(owner: type, name: str, value: object) -> None:
    entry = next(entry for entry in fields_of(owner) if entry.name == name)
    of_its_type = not isinstance(value, float) or entry.plain is not int
    taken = (entry.limits.hold(value) and of_its_type) or (value is None and entry.optional)
    section = {**object_schema(owner), "$defs": SECTIONS}
    assert Draft202012Validator(section).is_valid({name: value}) is taken


def test_choices_are_explained_where_they_are_chosen() -> None:
    assert "`stop`: Stop the run." in schema()["properties"]["on_error"]["description"]


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source"]) == 0
    assert json.loads(capsys.readouterr().out) == schema("source")


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "# yaml-language-server: $schema=" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sorce"], "schema sorce: there is no such config group; did you mean 'source'; there are chunks, cluster"),
        (["source", "gdal"], "schema source gdal: wanted one config group at most"),
    ],
)
def test_a_wrong_word_gets_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(words) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_group_that_is_not_there_has_no_schema() -> None:
    with pytest.raises(ConfigError, match="there is no such config group"):
        schema("hydra")
