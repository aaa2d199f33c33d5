"""This machine and this process: memory, threads, signals, compiled kernels."""
