"""Sweeps: many jobs, each in a process of its own, in random order, within limits."""
