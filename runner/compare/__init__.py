"""Two runs compared: config, code, inputs, values."""
