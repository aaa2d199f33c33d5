"""Passes, tasks, costs and memory, before anything runs."""
