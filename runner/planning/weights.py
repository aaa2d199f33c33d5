"""Weights of pixels over space: all the same, or by area on the ellipsoid."""

import math
import re
from typing import Final

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from runner.errors import PlanError
from runner.model import Grid
from runner.reduce.statistics import has_weights
from runner.settings import Over, StageSettings, Weights

Floats = npt.NDArray[np.float64]

_ELLIPSOID: Final = re.compile(r'(?:SPHEROID|ELLIPSOID)\["[^"]*",\s*([\d.eE+-]+),\s*([\d.eE+-]+)')
_MERCATOR: Final = re.compile(r'PROJECTION\["Mercator|METHOD\["(Popular Visualisation Pseudo[ -])?Mercator')
_NODES: Final = 8  # of the quadrature, whose error then is below e**16, some 1e-18


def stage_weights(name: str, stage: StageSettings, grid: Grid) -> Weights:
    """The weights of a stage, none or area.

    Raises PlanError for a setting that the grid or the statistics do not allow.
    """
    demanded = stage.weights is Weights.area
    if stage.weights is Weights.none:
        return Weights.none
    if stage.over is Over.time or not _is_geographic(grid):
        if demanded:
            raise PlanError(f"stages.{name}.weights=area: {_why_not(stage, grid)}; wanted none or auto")
        return Weights.none
    plain = [name for name in stage.statistics if not has_weights(name)]
    if plain:
        raise PlanError(
            f"stages.{name}: {', '.join(plain)} cannot be taken by area, as weights={stage.weights.value} means on "
            f"{grid.crs_name}; set stages.{name}.weights=none, where every pixel counts the same, or leave it out"
        )
    try:
        row_areas(grid)
    except ValueError as error:
        raise PlanError(
            f"stages.{name}.weights={stage.weights.value}: {error}; set stages.{name}.weights=none, where every pixel "
            "counts the same"
        ) from error
    return Weights.area


def _why_not(stage: StageSettings, grid: Grid) -> str:
    if stage.over is Over.time:
        return "over time all values of a pixel have the same area"
    if grid.crs is None:
        return "the scenes have no CRS, so the area of a pixel is unknown"
    return f"{grid.crs_name} is not a geographic CRS, and areas are computed from latitudes only"


def _is_geographic(grid: Grid) -> bool:
    return grid.crs is not None and bool(CRS.from_wkt(grid.crs).is_geographic)


def is_mercator(grid: Grid) -> bool:
    """True for a Mercator projection, where pixels away from the equator cover less ground."""
    return _MERCATOR.search(grid.crs or "") is not None


def row_areas(grid: Grid) -> Floats:
    """The area of a pixel of each row of a geographic grid, in square metres on its ellipsoid (rows,).

    A pixel lies between two meridians and two parallels. Its area is the integral of the two radii of curvature
    (Snyder, Map Projections: A Working Manual, 1987, chapter 4): a**2 (1 - e**2) * longitudes * the integral of
    ds / (1 - e**2 s**2)**2 over s, the sine of the latitude. Snyder's (3-12) is its closed form, in which close
    latitudes cancel; Gauss-Legendre quadrature avoids that. Areas beyond a pole are cut off.

    Raises ValueError for a grid that is rotated, reaches beyond the poles, or has no ellipsoid.
    """
    a, b, _, d, e, f = grid.transform
    if b or d:
        raise ValueError("the grid is rotated, so a row does not have a single latitude")
    crs = CRS.from_wkt(grid.crs or "")
    axis, eccentricity = _ellipsoid(grid.crs or "")
    radians = crs.units_factor[1]
    edges = (f + e * np.arange(grid.height + 1)) * radians
    centres = (edges[:-1] + edges[1:]) / 2
    if np.abs(centres).max(initial=0) > math.pi / 2:
        raise ValueError("some rows lie beyond a pole")
    edges = np.clip(edges, -math.pi / 2, math.pi / 2)
    areas: Floats = abs(a) * radians * axis**2 * (1 - eccentricity) * _zone_integrals(edges, eccentricity)
    return areas


def _zone_integrals(edges: Floats, eccentricity: float) -> Floats:
    """The integral of ds / (1 - e**2 s**2)**2 between neighbouring latitudes; `eccentricity` is e squared."""
    middles, halves = ((edges[:-1] + edges[1:]) / 2).tolist(), (np.abs(np.diff(edges)) / 2).tolist()
    # By libm: numpy's own sines differ with the instruction set of the machine.
    reach = np.array([math.cos(middle) * math.sin(half) for middle, half in zip(middles, halves, strict=True)])
    middle = np.array([math.sin(middle) * math.cos(half) for middle, half in zip(middles, halves, strict=True)])
    total = np.zeros(len(reach))
    for node, weight in zip(*np.polynomial.legendre.leggauss(_NODES), strict=True):
        total += weight / (1 - eccentricity * (middle + node * reach) ** 2) ** 2
    return reach * total


def _ellipsoid(wkt: str) -> tuple[float, float]:
    """Its semi-major axis, and the square of its eccentricity."""
    ellipsoid = _ELLIPSOID.search(wkt)
    if not ellipsoid:
        raise ValueError("the CRS does not name an ellipsoid")
    inverse = float(ellipsoid[2])
    flattening = 1 / inverse if inverse else 0.0  # a sphere is written as 0
    return float(ellipsoid[1]), flattening * (2 - flattening)
