"""The plan resolves once how pixels are read; nothing below it asks the settings again."""

import pickle
from pathlib import Path

import pytest
from jobs import ROOT, compose, found_stack, local_source

from runner.planning.planner import make_plan
from runner.planning.reading import fetch_options, make_reading
from runner.settings import ReaderName, S3Settings
from runner.source.stores import Stores

BELOW_THE_PLAN = ("engine", "checkpoint", "cluster")


@pytest.mark.parametrize("room", BELOW_THE_PLAN)
def test_no_module_below_the_plan_sees_the_settings_of_a_job(room: str) -> None:
    modules = (ROOT / "runner" / room).glob("*.py")
    assert not [path.name for path in modules if "JobSettings" in path.read_text("utf-8")]


@pytest.mark.parametrize("engine", ["block", "xarray"])
def test_all_passes_share_one_reading_and_the_stores_of_the_run(folder_of_scenes: Path, engine: str) -> None:
    job = compose(f"engine={engine}", "fuse=false")
    stores = Stores(S3Settings(), fetch_options(job.fetch))
    stack = found_stack(local_source(folder_of_scenes), stores)
    plan = make_plan(job, stack, stores=stores)
    assert len(plan.passes) == 2
    assert all(one.reading is plan.reading for one in plan.passes)
    assert plan.reading.stores is stores
    assert plan.reading.reader is (ReaderName.gdal if engine == "xarray" else job.reader)


def test_a_reading_travels_to_a_worker_without_its_open_stores(folder_of_scenes: Path) -> None:
    source, job = local_source(folder_of_scenes), compose("gdal=cloud")
    stack = found_stack(source)
    reading = make_reading(job, stack)
    arrived = pickle.loads(pickle.dumps(reading))
    assert (arrived.rule, arrived.fetch, arrived.gdal_options) == (reading.rule, reading.fetch, reading.gdal_options)
    assert arrived.stores is not reading.stores
