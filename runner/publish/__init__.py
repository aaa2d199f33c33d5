"""Results for others: a complete run copied to a bucket, and described as STAC."""
