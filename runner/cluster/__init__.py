"""The workers of a stage, and what becomes of them."""
