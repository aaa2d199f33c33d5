"""Sweeps that tune: jobs run apart from each other, and the table that says which settings are best."""
