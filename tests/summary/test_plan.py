"""What the plan tells of requests and bytes."""

import pytest

from runner.planning.records import Cost
from runner.summary import bytes_for_masks, requests_for_masks


def cost(requests: int | None, mask_requests: int | None, mask_bytes: int = 0) -> Cost:
    return Cost(requests, 10_000, 20_000, 1.0, mask_bytes, mask_requests)


@pytest.mark.parametrize(
    ("costs", "requests", "stored"),
    [
        ([cost(16, 0)], "", ""),
        ([cost(16, 8, 3240)], " (8 for masks)", " (3.24 kB for masks)"),
        ([cost(16, 8, 3240), cost(4, 0), cost(2, 1, 760)], " (9 for masks)", " (4 kB for masks)"),
        ([cost(None, None, 3240)], "", " (3.24 kB for masks)"),
        ([cost(16, 8, 3240), cost(None, None)], "", " (3.24 kB for masks)"),
        ([], "", ""),
    ],
)
def test_what_is_for_masks_is_told_as_far_as_it_is_known(costs: list[Cost], requests: str, stored: str) -> None:
    assert (requests_for_masks(costs), bytes_for_masks(costs)) == (requests, stored)
