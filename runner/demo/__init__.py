"""The demo archive, and the small S3 server that serves it."""
