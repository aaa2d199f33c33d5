"""Lines and tables for the console: inputs, plan, passes, results."""

from runner.summary.inputs import describe_inputs, describe_keys, describe_left_to_gdal, describe_skipped
from runner.summary.plan import (
    bytes_for_masks,
    describe_groups,
    describe_guesses,
    describe_too_few,
    describe_weights,
    requests_for_masks,
    show_plan,
)
from runner.summary.results import (
    describe_beyond,
    describe_compiling,
    describe_no_decibels,
    describe_pass,
    files_shown,
    result_rows,
    show_results,
)

__all__ = [
    "bytes_for_masks",
    "describe_beyond",
    "describe_compiling",
    "describe_groups",
    "describe_guesses",
    "describe_inputs",
    "describe_keys",
    "describe_left_to_gdal",
    "describe_no_decibels",
    "describe_pass",
    "describe_skipped",
    "describe_too_few",
    "describe_weights",
    "files_shown",
    "requests_for_masks",
    "result_rows",
    "show_plan",
    "show_results",
]
