"""What every room may use: atomic writes, secrets kept out, the console, numbers as people read them."""
