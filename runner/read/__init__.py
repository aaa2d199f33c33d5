"""From the bytes of a TIFF to headers and pixels."""
