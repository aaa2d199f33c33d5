"""Statistics of a stack: accumulate a block's tiles, combine the partials of blocks, finish.

Every statistic is a function of exact values (sums held without rounding error, counts, extremes, order statistics), so
its bits depend on the pixels alone: not on chunks, clusters, workers, retries or the order of blocks.
"""

from typing import Final

KERNELS: Final = "2"  # the arithmetic's version, raised by whatever may change a bit of a result
