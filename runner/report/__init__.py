"""`report.html`: what a run did and what came out, on one page made from its folder alone."""
