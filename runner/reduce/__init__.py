"""Statistics of a stack: accumulate the tiles of a task, combine the partials of tasks, finish.

Every statistic is a function of exact values (sums held without rounding error, counts, extremes, order statistics), so
its bits depend on the pixels alone: not on chunks, clusters, workers, retries or the order of tasks.
"""

from typing import Final

KERNELS: Final = "2"  # the version of the arithmetic; a change that may change a bit of a result raises it
