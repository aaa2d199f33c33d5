"""Results on disk: tables and rasters, their digests, and reading them back."""
