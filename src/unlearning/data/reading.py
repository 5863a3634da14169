"""Reading one image file that may be anything: it gives its picture, or one reason why it does not."""

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.TiffImagePlugin  # noqa: F401 - until it is imported, Pillow does not know this format
import PIL.WebPImagePlugin  # noqa: F401
import torch
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

from unlearning.data.deep import deep_image, is_cut, is_deep
from unlearning.data.file_stamps import WHAT, By, stamp_of_content, stamp_of_times
from unlearning.data.manifest import Manifest
from unlearning.data.picture import Reduction, deep_picture, picture, values_in_use
from unlearning.errors import brief

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF")  # by what a file holds, not by its name
NO_FORMAT = "it is no PNG, JPEG, WebP, BMP, GIF, PPM or TIFF, or its beginning is damaged"
NO_RANGE = "it has more than 8 bits a channel, and which values are black and white is not known"

Image.MAX_IMAGE_PIXELS = None  # data.max_pixels is asked, before anything is decoded
warnings.filterwarnings("ignore", module="PIL")  # of files that are damaged a little: they are refused, or read


class BadImage(ValueError):
    """A file that gives no picture; the message is the reason, in one line and without the path."""


class AnotherFile(BadImage):
    """A file that is not the one that the stage `split` saw."""


@dataclass(frozen=True)
class Rules:
    """How the images of one set are read."""

    value_range: tuple[float, float] | None = None  # black and white of images of more than 8 bits; None = not known
    max_pixels: int | None = None  # None = no limit


NO_RULES = Rules()


@dataclass(frozen=True)
class Known:
    """What the stage `split` saw of a file."""

    by: By
    stamp: bytes


def known_of(stamps: np.ndarray | None, by: By | None, position: int) -> Known | None:
    """Return what is known of one of the files whose stamps, uint8 (N, 16), these are; None where they are not kept."""
    return None if stamps is None or by is None else Known(by, stamps[position].tobytes())


def rules_of(manifest: Manifest) -> Rules:
    """Return how the images of a manifest are read, whose sizes were looked at when it was made."""
    low_high = manifest.value_range
    return Rules((low_high[0], low_high[1]) if low_high else None)


def read_image(
    path: Path, rules: Rules = NO_RULES, known: Known | None = None, reduction: Reduction | None = None
) -> Tensor:
    """Return an image file as uint8 (3, H, W): upright, on white, grey images with three equal channels.

    Of several frames or pages it is the first. known: of the file that it has to be. reduction: by what H and W may be
    divided, for less work; None = not at all. Raises BadImage when the file is
    missing, damaged or too large, or has more than 8 bits a channel where the range of values is not known, and
    AnotherFile, which is one, when it is not the one known.
    """
    with _opened(path, rules, known) as (file, source):
        deep = deep_image(file, source)
        if deep is None:
            return _as_tensor(picture(file, reduction))
        if rules.value_range is None:
            raise BadImage(NO_RANGE)
        return _as_tensor(deep_picture(deep, rules.value_range))


def is_deep_file(path: Path, rules: Rules) -> bool:
    """Return whether an image has more than 8 bits a channel, by its header alone; raises BadImage."""
    with _one_reason(), _header(_regular(path), rules) as file:
        return is_deep(file)


def size_of(path: Path, rules: Rules) -> tuple[int, int]:
    """Return width and height of an image, px, by its header alone; raises BadImage."""
    with _one_reason(), _header(_regular(path), rules) as file:
        return file.size


def range_of(path: Path, rules: Rules) -> tuple[tuple[float, float] | None, bool]:
    """Return the lowest and highest value seen in an image of more than 8 bits, and whether they are integers.

    None for the values where all is transparent. Raises BadImage.
    """
    with _opened(path, rules, None) as (file, source):
        deep = deep_image(file, source)
        assert deep is not None
        return values_in_use(deep), deep.values.dtype.kind in "iu"


@contextmanager
def _one_reason() -> Iterator[None]:
    """Turn whatever the decoders of seven formats raise for a damaged file, which is nearly anything, into BadImage."""
    try:
        yield
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage(NO_FORMAT) from None
    except ImportError:
        raise BadImage(
            "16 bits a channel in colour are not read by this version of torchvision: save it with 8"
        ) from None
    except MemoryError:
        raise BadImage("there is not enough memory to decode it") from None
    except Exception as error:
        of_system = error.strerror if isinstance(error, OSError) else None
        raise BadImage(brief(of_system or f"damaged: {error or type(error).__name__}", 200)) from None


@contextmanager
def _opened(path: Path, rules: Rules, known: Known | None) -> Iterator[tuple[ImageFile.ImageFile, Path | bytes]]:
    """Open a file whose size, checksums and stamp are right; with it give what can be opened once more."""
    with _one_reason(), ExitStack() as stack:
        source = _as_known(_regular(path), known)
        file = stack.enter_context(_header(source, rules))
        if file.format == "PNG":  # the other formats notice by themselves that they are cut short
            file.verify()
            file = stack.enter_context(_header(source, rules))
        yield file, source


def _regular(path: Path) -> Path:
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadImage("it is no regular file")
    return path


def _as_known(path: Path, known: Known | None) -> Path | bytes:
    """Return the path, or the content where that had to be read to compare it."""
    if known is None:
        return path
    content = path.read_bytes() if known.by == "content" else None
    seen = stamp_of_times(path.stat()) if content is None else stamp_of_content(content)
    if seen != known.stamp:
        raise AnotherFile(f"it has another {WHAT[known.by]}")
    return path if content is None else content


@contextmanager
def _header(source: Path | bytes, rules: Rules) -> Iterator[ImageFile.ImageFile]:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as file:
        width, height = file.size
        if min(file.size) < 1:
            raise BadImage(f"it has {width} x {height} px")
        if rules.max_pixels is not None and width * height > rules.max_pixels:
            raise BadImage(f"its {width} x {height} px are above the limit of {rules.max_pixels} (data.max_pixels)")
        if is_cut(file):
            raise BadImage("16 bits a channel are not read from a TIFF in colour: save it as PNG, or with 8 bits")
        yield file


def _as_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)
