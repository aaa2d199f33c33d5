"""`report.html`: what a run did and what came out, on one page made from its folder alone."""

from runner.report.page import write_report

__all__ = ["write_report"]
