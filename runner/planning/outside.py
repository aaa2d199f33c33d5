"""The tiles that a task does not read, since none of their pixels is in the area of the stack."""

from dataclasses import dataclass

from runner.area import Area
from runner.model import Scene, Stack
from runner.read.header import Window


@dataclass(frozen=True, slots=True)
class Outside:
    """The pixels outside of an area in a window of the grid, as a scene has them."""

    area: Area
    scene: Scene
    window: Window

    def hides_tile(self, pixels: Window) -> bool:
        """True if no pixel of a window of the scene is in the area."""
        return not self.area.meets(pixels.shifted(self.scene.row, self.scene.column))

    def hides_mask(self, pixels: Window) -> bool:
        """True if pixels of the scene's mask cover none of the window that is in the area."""
        mask = self.scene.mask
        assert mask  # by the caller
        factor, row, column = mask.factor, mask.row + self.scene.row, mask.column + self.scene.column
        covered = Window(pixels.row * factor, pixels.column * factor, pixels.height * factor, pixels.width * factor)
        part = covered.shifted(row, column).common(self.window)
        return part is None or not self.area.meets(part)


def pixels_in_area(stack: Stack) -> int:
    """The pixels of the grid that can count."""
    return stack.grid.pixels if stack.area is None else stack.area.pixels(stack.grid.window)
