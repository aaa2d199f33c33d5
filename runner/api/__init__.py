"""The Python interface: what `runner.run`, `runner.plan`, `runner.open_run` and `runner.open_stack` are made of."""
