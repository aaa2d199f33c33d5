"""The ground of every room: atomic writes, secrets kept out, the console, overrides, numbers as people read them."""
