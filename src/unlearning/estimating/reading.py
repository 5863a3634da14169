"""How long it takes to read one image: of the user's own where they are there, else of one of the size of a photo."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from unlearning.budgets import GIGA
from unlearning.data.crop import Crop
from unlearning.data.reading import read_image
from unlearning.estimating.trainings import Subject
from unlearning.params import Params

TRIED = 24  # images
PHOTO = (500, 375)  # px, about the mean of ImageNet's
PHOTO_QUALITY = 95  # of JPEG: it then takes about the 110 kB of ImageNet's mean
GRAIN = 24  # px between the corners of what the made photo shows


def seconds_to_read(params: Params, subject: Subject) -> float:
    """Return the seconds in which one process reads an image to train on; 0 where all images are held in memory."""
    files, count = subject.files, subject.counts.training + subject.counts.judging
    size = count * subject.shape.channels * params.data.image_size**2
    if files is None or size <= params.data.resident_gb * GIGA:
        return 0.0
    if files:
        return seconds_a_file(files, params)
    with tempfile.TemporaryDirectory() as folder:
        return seconds_a_file([made_photo(Path(folder))], params)


def seconds_a_file(files: Sequence[Path], params: Params) -> float:
    """Return the seconds in which one process reads one of these images, tried on some that are spread over all."""
    area, size = params.train.augment.min_area, params.data.image_size
    some = [files[place] for place in np.linspace(0, len(files) - 1, TRIED).astype(int)]
    _read(some[0], 0, area, size)  # the imports
    started = time.perf_counter()
    for number, path in enumerate(some):
        _read(path, number, area, size)
    return (time.perf_counter() - started) / len(some)


def _read(path: Path, seed: int, min_area: float, size: int) -> None:
    crop = Crop(seed, min_area, size)
    crop.of(read_image(path, reduction=crop.reduction))


def made_photo(folder: Path) -> Path:
    """Write a picture of smooth colours with a little noise, as JPEG."""
    random = np.random.default_rng(0)
    across, down = (side // GRAIN + 1 for side in PHOTO)
    smooth = Image.fromarray(random.integers(0, 256, (down, across, 3), dtype=np.uint8)).resize(PHOTO)
    pixels = np.asarray(smooth, dtype=np.int16) + random.integers(-12, 13, (PHOTO[1], PHOTO[0], 3))
    path = folder / "photo.jpg"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=PHOTO_QUALITY)
    return path
