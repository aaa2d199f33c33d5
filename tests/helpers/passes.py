"""The passes of a job computed in this process, without a run around them."""

import numpy as np

from runner.engine.compute import compute_pass
from runner.model import Stack
from runner.planning.planner import make_plan
from runner.settings import JobSettings


def computed(job: JobSettings, stack: Stack) -> dict[str, dict[str, np.ndarray]]:
    """The values of every stage by its name, each by its statistics."""
    values: dict[str, dict[str, np.ndarray]] = {}
    for pass_ in make_plan(job, stack).passes:
        values |= compute_pass(pass_, stack)[0].values
    return values
