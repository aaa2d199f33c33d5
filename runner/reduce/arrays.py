"""Types of arrays, by their values."""

from typing import Any

import numpy as np
import numpy.typing as npt

Stack = npt.NDArray[Any]  # pixels of several scenes
Tile = npt.NDArray[Any]  # pixels (rows, columns)
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
