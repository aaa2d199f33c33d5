"""Where scenes come from: stores of objects, and the demo archive with the small S3 server that serves it."""
