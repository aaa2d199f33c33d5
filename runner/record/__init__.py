"""The files in which a run records itself, written and read back."""
