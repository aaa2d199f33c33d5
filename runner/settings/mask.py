"""The keys of `mask`: which pixels are left out."""

from dataclasses import dataclass, field
from typing import Annotated

from runner.settings.choices import OnError, OwnMask
from runner.settings.limits import FROM_1


@dataclass(slots=True)
class MaskHrefSettings:
    """The address of the file that masks a scene, made from the address of the scene."""

    replace: list[str] | None = None
    """A regular expression and the text that takes its place in the address of a scene, such as `[SR_B4, QA_PIXEL]`.
    More such pairs may follow. Each of them must match. The text may refer to groups of the expression, as `\\1`."""


@dataclass(slots=True)
class MaskSettings:
    """The pixels to leave out: by the file of a scene itself, and by a second file for each scene, its mask. NaN is
    always left out.

    A second file is read if `href.replace` or `asset` names it. One of `bits`, `values` and `keep` then tells which of
    its pixels hide those of the scene. Where it has its own nodata value, it hides pixels too, unless `keep` has that
    value.
    """

    own: OwnMask = OwnMask.nodata
    """Which pixels the file of a scene itself leaves out."""
    href: MaskHrefSettings = field(default_factory=MaskHrefSettings)
    """Address of the mask, for scenes that do not come from STAC items."""
    asset: str | None = None
    """Asset of the STAC item that is the mask, such as `qa_pixel`. It counts before `href` for scenes with assets."""
    bits: list[int] | None = None
    """Bits of the mask, the lowest is 0. A pixel is hidden if any of them is set."""
    values: list[int] | None = None
    """Values of the mask. A pixel is hidden if the mask has one of them."""
    keep: list[int] | None = None
    """Values of the mask. A pixel is hidden unless the mask has one of them."""
    band: Annotated[int, FROM_1] = 1
    """Band of the mask. The first is 1."""
    on_missing: OnError = OnError.stop
    """What happens if a scene has no mask."""
