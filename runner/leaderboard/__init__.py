"""A sweep's folder, read into a table, a page and a winner."""
