"""What a user means by the picture in an image file: upright, in colours of 8 bits, seen on white paper."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # tag of EXIF
TURNS = {  # what undoes each orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)
Reduction = Callable[[int, int], int]  # of an upright image's height and width, px: by what both may be divided
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
PLAIN_ALPHA = {"La": "LA", "RGBa": "RGBA"}  # of colours that are multiplied by their opacity
NO_NUMBERS = "it holds values that are no numbers, or infinite"


@dataclass(frozen=True)
class Deep:
    """An image of more than 8 bits a channel, as its file has it; which value is white is known of the set alone."""

    values: np.ndarray  # (H, W, C), integers or float32, C 1 or 3
    opacity: np.ndarray | None = None  # float64 (H, W) in 0..1; None = opaque
    turn: Image.Transpose | None = None  # what makes it upright
    white_is_low: bool = False


def picture(image: Image.Image, reduction: Reduction | None = None) -> np.ndarray:
    """Return an image of 8 bits a channel as uint8 (H, W, 3); raises ValueError for a mode without colours.

    reduction: what is needed of it; a JPEG is then decoded at half, a quarter or an eighth of its size where that is
    enough, which costs as much less.
    """
    if reduction is not None:
        _decode_smaller(image, reduction)
    image.load()  # a TIFF is upright then, and its EXIF says so
    return np.array(_on_white(_turned(image, turn_of(image))))


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return height and width, px, of an image that is not loaded yet, as its picture will have them."""
    return image.size if turn_of(image) in ON_ITS_SIDE else (image.height, image.width)


def _decode_smaller(image: Image.Image, reduction: Reduction) -> None:
    factor = reduction(*upright_size(image))
    if factor > 1 and image.format == "JPEG":
        image.draft(None, (image.width // factor, image.height // factor))


def deep_picture(deep: Deep, value_range: tuple[float, float]) -> np.ndarray:
    """Return a deep image as uint8 (H, W, 3), its values scaled from value_range to 0..255, rounded and cut off.

    Raises ValueError for values that are no numbers.
    """
    if not np.isfinite(deep.values).all():
        raise ValueError(NO_NUMBERS)
    low, high = value_range
    scaled = ((deep.values.astype(np.float64) - low) * (255 / ((high - low) or 1))).clip(0, 255).round()
    if deep.white_is_low:
        scaled = 255 - scaled
    image = Image.fromarray(np.broadcast_to(scaled, (*scaled.shape[:2], 3)).astype(np.uint8))
    if deep.opacity is not None:
        image.putalpha(Image.fromarray((255 * deep.opacity).round().astype(np.uint8)))
    return np.array(_on_white(_turned(image, deep.turn)))


def values_in_use(deep: Deep) -> tuple[float, float] | None:
    """Return the lowest and the highest value that can be seen; None where all is transparent.

    Raises ValueError for values that are no numbers.
    """
    seen = deep.values if deep.opacity is None else deep.values[deep.opacity > 0]
    if not np.isfinite(seen).all():
        raise ValueError(NO_NUMBERS)
    return (float(seen.min()), float(seen.max())) if seen.size else None


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return what makes an image upright by its EXIF; None where nothing has to, or it cannot be read."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged block of EXIF raises nearly anything, and says nothing of the pixels
        return None


def _turned(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in WITH_ALPHA and "transparency" not in image.info:
        return image.convert("RGB")
    own = image.convert(PLAIN_ALPHA.get(image.mode, "RGBA")).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", own.size, "white"), own).convert("RGB")
