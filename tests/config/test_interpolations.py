"""An interpolation names a setting that is there, and does not stand for more than a config can need."""

from typing import Any

import pytest

from runner.config.interpolations import check_interpolations
from runner.errors import ConfigError


def doubled(levels: int) -> dict[str, Any]:
    """Texts that each hold the one before twice."""
    return {"t0": "x", **{f"t{at}": f"${{t{at - 1}}}${{t{at - 1}}}" for at in range(1, levels)}}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (doubled(40), "stands for itself, or for over 10000 values; write them out"),
        (doubled(900), "stands for itself, or for over 10000 values"),
        ({"a": "${b}", "b": "${a}"}, "a: ${b} stands for itself"),
        ({"a": {"b": "${a}"}}, "a.b: ${a} stands for itself"),
        ({"n0": {"x": 1}, **{f"n{at}": {"l": f"${{n{at - 1}}}", "r": f"${{n{at - 1}}}"} for at in range(1, 30)}}, "n"),
        ({"a": ["${NOT_THERE}"]}, "a: ${NOT_THERE} is not a setting; for the variable of the environment write"),
        ({"a": {"b": 1}, "c": "${a.d}"}, "c: ${a.d} is not a setting"),
        ({"a": "S3", "b": "${oc.env:AWS_${a}_KEY}"}, "b=${oc.env:AWS_${a}_KEY}: the name of a variable"),
        ({"a": "S3", "b": "x${ oc.env :${a}}"}, "the name of a variable, or of a resolver, is written out"),
        ({"a": "oc", "b": "${${a}.env:AWS_KEY}"}, "the name of a variable, or of a resolver, is written out"),
    ],
)
def test_one_that_cannot_be_is_refused(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_interpolations(tree)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "tree",
    [
        {"a": {"b": None}, "c": "${a.b} ${a}", "d": ["${c}"]},
        {"a": "${oc.env:HOME}", "b": "${a}", "c": "${b.below}"},
        {"a": "x", "b": "${oc.env:HOME,${a}}", "c": "${oc.env:HOME}/${a}:${a}"},
        {"a": r"\${NOT_THERE}", "b": "${.c}", "c": "${hydra:job.num}"},
        doubled(10),
        {"hydra": {"overrides": {"task": ["a=${NOT_THERE}"]}}},
    ],
)
def test_one_that_may_be_is_left_to_omegaconf(tree: dict[str, Any]) -> None:
    check_interpolations(tree)
