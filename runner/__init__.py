"""Batch jobs over stacks of Cloud-Optimized GeoTIFFs, described in Hydra YAML."""
