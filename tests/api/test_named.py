"""Results by name: a wrong name is answered with the nearest, or with those that there are."""

import pytest

from runner.api.named import ByName
from runner.errors import RecordError

STACKS = ByName({"10TES_ASC": 1, "10TES_DSC": 2, "11SKU_ASC": 3}, "stack", "out", frozenset({"12QAB_ASC"}))


@pytest.mark.parametrize(
    ("stacks", "name", "message"),
    [
        (STACKS, "10TES_asc", "out: there is no stack '10TES_asc'; did you mean '10TES_ASC'$"),
        (STACKS, "x", "out: there is no stack 'x'; there are 10TES_ASC, 10TES_DSC, 11SKU_ASC$"),
        (STACKS, 0, "out: there is no stack 0, which is not a name; there are 10TES_ASC"),
        (STACKS, "12QAB_ASC", "out: the stack '12QAB_ASC' has left no run: it has not begun"),
        (ByName[int]({}, "table", "out"), "x", "out: there is no table 'x'; there are none$"),
    ],
)
def test_a_wrong_name_is_answered(stacks: ByName[int], name: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        _ = stacks[name]


def test_it_is_a_dict_besides() -> None:
    assert STACKS["10TES_ASC"] == 1
    assert "x" not in STACKS
    assert STACKS.get("x") is None
    assert [*STACKS.values()] == [1, 2, 3]
