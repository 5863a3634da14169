"""Every kind of file in a class folder gives the picture that is meant, or is refused in one line."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.chaos import Ended, tried, tries
from tests.data.hostile import ANY, REFUSED, Case, cases, damaged
from unlearning.data.file_stamps import stamp_of_content
from unlearning.data.reading import AnotherFile, BadImage, Known, Rules, is_deep_file, range_of, read_image

pytestmark = pytest.mark.chaos
DAMAGES = tries(150, 3000)
LIMIT = Rules(max_pixels=89_478_485)
CASES = cases()


def as_the_set_is_read(path: Path) -> np.ndarray:
    """Read a file as if it were the whole set: a deep one by the range of values in use."""
    if not is_deep_file(path, LIMIT):
        return read_image(path, LIMIT).permute(1, 2, 0).numpy()
    in_use, _ = range_of(path, LIMIT)
    return read_image(path, replace(LIMIT, value_range=in_use or (0.0, 1.0))).permute(1, 2, 0).numpy()


def outcome(path: Path) -> np.ndarray | str:
    """Return the picture, or the reason for the refusal, of one line."""
    try:
        picture = as_the_set_is_read(path)
    except BadImage as error:
        reason = str(error)
        assert reason
        assert "\n" not in reason
        assert len(reason) <= 200
        return reason
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    return picture


def test_there_are_many_kinds() -> None:
    assert len(CASES) >= 140
    assert len({case.name.split()[0] for case in CASES}) >= 10


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.file}")
def test_a_file_gives_the_picture_that_is_meant_or_is_refused(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.file
    path.write_bytes(case.content)
    seen = outcome(path)
    assert_as_meant(seen, case)
    tried("image files of every kind", ended(seen))


def ended(seen: np.ndarray | str) -> Ended:
    return Ended.TOLD if isinstance(seen, str) else Ended.SAME


def assert_as_meant(seen: np.ndarray | str, case: Case) -> None:
    if isinstance(case.meant, str) and case.meant == ANY:
        return
    if case.meant is REFUSED:
        assert isinstance(seen, str), "accepted"
        assert case.says in seen
        return
    assert not isinstance(seen, str), seen
    assert seen.shape == case.meant.shape
    assert np.abs(seen.astype(int) - case.meant.astype(int)).max() <= case.within


@pytest.mark.parametrize("seed", range(3))
def test_random_damage_is_refused_or_harmless(tmp_path: Path, seed: int) -> None:
    for number, (name, content, before, guarded) in enumerate(damaged(DAMAGES // 3, seed)):
        path = tmp_path / f"{number}_{name}"
        path.write_bytes(before)
        good = as_the_set_is_read(path)
        path.write_bytes(content)
        seen = outcome(path)
        if guarded and not isinstance(seen, str):
            assert np.array_equal(seen, good), "another picture than before, without a word"
        tried(f"image files damaged at random{'' if guarded else ', of formats without checksums'}", ended(seen))
        if content != before:
            with pytest.raises(AnotherFile, match="it has another content"):
                read_image(path, LIMIT, Known("content", stamp_of_content(before)))


def read_before(path: Path) -> np.ndarray:
    """The reader of before there were rules, for images of 8 bits without transparency."""
    with Image.open(path) as file:
        return np.array(ImageOps.exif_transpose(file).convert("RGB"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "bmp", "gif", "pgm", "ppm", "tif", "tiff"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
@pytest.mark.parametrize("shape", [(32, 32), (61, 40), (1, 1)])
def test_pixels_of_what_was_read_right_are_those_of_before(
    tmp_path: Path, suffix: str, mode: str, shape: tuple[int, int]
) -> None:
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (*shape, 3), dtype=np.uint8)).convert(mode)
    path = tmp_path / f"x.{suffix}"
    try:
        image.save(path, exif=Image.Exif())
    except (OSError, ValueError):
        pytest.skip("a format without this mode")
    assert np.array_equal(read_image(path).permute(1, 2, 0).numpy(), read_before(path))


def test_a_large_image_is_refused_by_the_limit_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("L", (100, 30)).save(path)
    assert read_image(path, Rules(max_pixels=3000)).shape == (3, 30, 100)
    with pytest.raises(BadImage, match=r"its 100 x 30 px are above the limit of 2999 \(data.max_pixels\)"):
        read_image(path, Rules(max_pixels=2999))


MakeOdd = Callable[[Path], object]
ODD: dict[str, tuple[MakeOdd, str]] = {
    "gone": (lambda path: path.unlink(missing_ok=True), "No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "no regular file"),
    "a pipe": (lambda path: os.mkfifo(path), "no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize(("make", "reason"), ODD.values(), ids=ODD)
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path, make: MakeOdd, reason: str) -> None:
    make(tmp_path / "x.png")
    with pytest.raises(BadImage, match=reason):
        read_image(tmp_path / "x.png")
    tried("what is no file in an image's place", Ended.TOLD)
