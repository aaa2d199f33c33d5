"""Many stacks in one run: an archive parted into stacks, each run as if alone, and a table of all."""
