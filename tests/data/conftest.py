import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlearning.params import Augment, Data, Forget


@pytest.fixture
def make_data() -> Callable[..., Data]:
    """Return a function that makes the block `data`, of the digits unless told otherwise."""

    def make(**changes: object) -> Data:
        values = {
            "name": "digits",
            "root": "images",
            "test_fraction": 0.2,
            "validation_fraction": 0.1,
            "seed": 0,
            "image_size": 8,
            "eval_resize": [],
            "mean": None,
            "std": None,
            "value_range": None,
            "max_pixels": 89478485,
            "resident_gb": 4.0,
            "workers": 0,
        }
        return Data(**{**values, **changes})

    return make


@pytest.fixture
def make_forget() -> Callable[..., Forget]:
    """Return a function that makes the block `forget`, of one random class unless told otherwise."""

    def make(**changes: object) -> Forget:
        values = {"scenario": "random", "count": 1, "seed": 0, "classes": [], "file": None, "share": 0.1, "before": []}
        return Forget(**{**values, **changes})

    return make


@pytest.fixture
def make_augment() -> Callable[..., Augment]:
    """Return a function that makes augmentation settings, all of zero strength unless told otherwise."""

    def make(**changes: object) -> Augment:
        return Augment(**{"padding": 0, "min_area": 1.0, "flip": 0.0, "jitter": 0.0, "grayscale": 0.0, **changes})

    return make


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """Return a function that writes an image file with pixels that `seed` determines."""

    def write(path: Path, size: tuple[int, int] = (10, 8), seed: int = 0, grey: bool = False) -> Path:
        width, height = size
        shape = (height, width) if grey else (height, width, 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def image_tree(write_image: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes folder/<class>/<number>.png with so many different images of each class."""

    def write(folder: Path, **counts: int) -> Path:
        for label, (name, count) in enumerate(counts.items()):
            for number in range(count):
                write_image(folder / name / f"{number:02d}.png", (8 + number % 3, 8 + label), 1000 * label + number)
        return folder

    return write


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _short_header(png: bytes) -> bytes:
    content = b"IHDR" + png[16:21]
    return png[:8] + struct.pack(">I", 5) + content + struct.pack(">I", zlib.crc32(content)) + png[33:]


def _short_data(png: bytes) -> bytes:
    data = png.index(b"IDAT")
    return png[: data - 4] + struct.pack(">I", 20) + png[data:]


UNREADABLE = {
    "empty": lambda _: b"",
    "text": lambda _: b"this is no image",
    "truncated": lambda png: png[: len(png) // 2],
    "short header": _short_header,  # Pillow: ValueError, already when it is opened
    "short data": _short_data,  # Pillow: SyntaxError, when it is decoded
}


@pytest.fixture(params=UNREADABLE)
def unreadable(request: pytest.FixtureRequest) -> bytes:
    """Return the content of a PNG file broken in one of several ways."""
    return UNREADABLE[request.param](_png())


@pytest.fixture(params=["empty", "text", "short header"])
def unopenable(request: pytest.FixtureRequest) -> bytes:
    """Return the content of a PNG file so broken that its header tells."""
    return UNREADABLE[request.param](_png())
