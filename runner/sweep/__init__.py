"""Sweeps that tune: jobs in fresh processes, measured alike, and a table of them."""
