"""The door: from the command line and Hydra's untyped tree to a checked job."""
