"""The values that keys may take, where their types do not say so."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """The values that a key may take, where its type does not say so."""

    wanted: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    words: tuple[str | bool, ...] = ()
    whole: bool = False  # where the type is not int
    text: bool = False  # any that is not empty
    texts: bool = False  # a text or a list of texts; of whole numbers too, if it is `whole`

    def hold(self, value: object) -> bool:
        """Tell if the value is one of the words, or a number within the bounds, or a text where texts are wanted."""
        if self.texts:
            items = value if isinstance(value, list) else [value]
            return bool(items) and all(map(self._is_text, items))
        if type(value) is int or (type(value) is float and not self.whole):
            return self._has_bounds() and self._within(value)
        if self.text and isinstance(value, str):
            return bool(value.strip())
        return any(type(word) is type(value) and word == value for word in self.words)

    def _is_text(self, item: object) -> bool:
        return isinstance(item, str) or (self.whole and type(item) is int and self._within(item))

    def _has_bounds(self) -> bool:
        return (self.least, self.most, self.above) != (None, None, None)

    def _within(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
        )


COMPRESSIONS: Final = ("deflate", "zstd", "lzw", "none")
FROM_1: Final = Limits("a whole number from 1 on", least=1)
BAND: Final = Limits("a whole number from 1 on, or the description of a band", least=1, whole=True, text=True)
BANDS: Final = Limits("all, or a list of numbers and descriptions of bands", least=1, whole=True, texts=True)
FROM_0: Final = Limits("a whole number from 0 on", least=0)
# No client waits forever, and each has another longest wait.
SECONDS: Final = Limits("seconds above 0, at most 10000000", above=0, most=10_000_000)
LEVEL: Final = Limits("a whole number from 1 to 9", least=1, most=9)
SHARE: Final = Limits("a share above 0, up to 1", above=0, most=1)
FRACTION: Final = Limits("a share from 0 to 1", least=0, most=1)
PERCENT: Final = Limits("percent, from 0 to 100", least=0, most=100)
COMPRESSION: Final = Limits(" or ".join(COMPRESSIONS), words=COMPRESSIONS)
STACK_FAILURE: Final = Limits("stop or continue", words=("stop", "continue"))
URLS: Final = Limits("a text, or a list of texts", texts=True)
GROUPS: Final = Limits("month, year_month or the like, a named group of the scenes, or a list of them", texts=True)
SWITCH: Final = Limits("auto, true or false", words=("auto", True, False))
SCENES: Final = Limits("a whole number from 1 on, or one of auto, all", least=1, words=("auto", "all"), whole=True)
PIXELS: Final = Limits(
    "a whole number from 1 on, or one of auto, block, all", least=1, words=("auto", "block", "all"), whole=True
)
