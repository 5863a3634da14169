from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from unlearning.data.augment import ASPECT, Draws, apply, draw, jittered, resized_crop, shifted
from unlearning.params import Augment

MakeAugment = Callable[..., Augment]
STRONG = {"padding": 2, "min_area": 0.3, "flip": 0.5, "jitter": 0.6, "grayscale": 0.4}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(batch: int = 16, channels: int = 3, height: int = 8, width: int = 8) -> Tensor:
    return torch.rand(batch, channels, height, width, generator=seeded(99))


def boxes(area: float, aspect: float, place: tuple[float, float], count: int = 1) -> Draws:
    """Return draws that crop every image alike and do nothing else."""
    return Draws(
        shift=torch.zeros(count, 2, dtype=torch.long),
        area=torch.full((count,), area),
        aspect=torch.full((count,), aspect),
        place=torch.tensor([place]).repeat(count, 1),
        flip=torch.zeros(count, dtype=torch.bool),
        jitter=torch.ones(count, 3),
        grey=torch.zeros(count, dtype=torch.bool),
    )


@pytest.mark.parametrize(("channels", "height", "width", "padding"), [(1, 8, 8, 1), (3, 8, 6, 3), (2, 5, 9, 4)])
def test_shifted_equals_a_loop_over_the_samples(channels: int, height: int, width: int, padding: int) -> None:
    offsets = torch.cartesian_prod(torch.arange(2 * padding + 1), torch.arange(2 * padding + 1))
    images = some_images(len(offsets), channels, height, width)
    expected = torch.zeros_like(images)
    for sample, (down, right) in enumerate((offsets - padding).tolist()):
        for row in range(height):
            for column in range(width):
                if 0 <= row + down < height and 0 <= column + right < width:
                    expected[sample, :, row, column] = images[sample, :, row + down, column + right]
    assert torch.equal(shifted(images, offsets, padding), expected)


def test_zero_strength_is_the_identity(make_augment: MakeAugment) -> None:
    images = some_images()
    assert torch.equal(apply(images, draw(16, make_augment(), seeded()), make_augment()), images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("setting", STRONG)
def test_each_setting_alone_does_something(make_augment: MakeAugment, setting: str, channels: int) -> None:
    augment = make_augment(**{setting: STRONG[setting]})
    images = some_images(channels=channels)
    changed = apply(images, draw(16, augment, seeded()), augment)
    assert changed.shape == images.shape
    assert torch.equal(changed, images) == (setting == "grayscale" and channels == 1)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_flip_mirrors_exactly_the_drawn_ones(make_augment: MakeAugment, probability: float) -> None:
    augment = make_augment(flip=probability)
    images, draws = some_images(64), draw(64, augment, seeded())
    flipped = apply(images, draws, augment)
    assert draws.flip.float().mean() == pytest.approx(probability, abs=0.2)
    for image, result, mirrored in zip(images, flipped, draws.flip.tolist(), strict=True):
        assert torch.equal(result, torch.flip(image, [2]) if mirrored else image)


def test_grayscale_drops_the_colour_of_exactly_the_drawn_ones(make_augment: MakeAugment) -> None:
    augment = make_augment(grayscale=0.5)
    images, draws = some_images(64), draw(64, augment, seeded())
    result = apply(images, draws, augment)
    assert 10 < draws.grey.sum() < 54
    assert torch.equal(result[~draws.grey], images[~draws.grey])
    red, green, blue = images[draws.grey].unbind(1)
    for channel in result[draws.grey].unbind(1):
        torch.testing.assert_close(channel, 0.299 * red + 0.587 * green + 0.114 * blue)


@pytest.mark.parametrize("rows", [slice(0, 8), slice(8, 16), slice(5, 6)])
def test_a_share_of_the_draws_does_to_its_samples_what_the_whole_does(make_augment: MakeAugment, rows: slice) -> None:
    augment = make_augment(**STRONG)
    images, draws = some_images(), draw(16, augment, seeded())
    share = draws.share(rows)
    for field in fields(Draws):
        assert torch.equal(getattr(share, field.name), getattr(draws, field.name)[rows])
    torch.testing.assert_close(apply(images[rows], share, augment), apply(images, draws, augment)[rows])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_result_depends_on_the_generators_seed_alone(make_augment: MakeAugment, channels: int) -> None:
    augment, images = make_augment(**STRONG), some_images(channels=channels)

    def result(seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        return apply(images, draw(16, augment, seeded(seed)), augment)

    assert torch.equal(result(3, global_seed=0), result(3, global_seed=1))
    assert not torch.equal(result(3, global_seed=0), result(4, global_seed=0))


def test_images_are_not_changed_in_place(make_augment: MakeAugment) -> None:
    augment, images = make_augment(**STRONG), some_images()
    before = images.clone()
    apply(images, draw(16, augment, seeded()), augment)
    assert torch.equal(images, before)


def test_other_strengths_use_the_same_random_numbers(make_augment: MakeAugment) -> None:
    weak, strong = (
        draw(200, make_augment(**{**STRONG, "flip": flip, "grayscale": flip}), seeded()) for flip in (0.2, 0.7)
    )
    off = draw(200, make_augment(), seeded())
    assert torch.equal(weak.place, strong.place)
    assert torch.equal(weak.place, off.place)
    assert torch.equal(weak.aspect, off.aspect)
    assert not (weak.flip & ~strong.flip).any()
    assert weak.flip.sum() < strong.flip.sum()


def test_draws_lie_in_their_ranges_and_reach_their_ends(make_augment: MakeAugment) -> None:
    draws = draw(5000, make_augment(**STRONG), seeded())
    assert draws.shift.unique().tolist() == [0, 1, 2, 3, 4]
    for values, low, high in (
        (draws.area, 0.3, 1.0),
        (draws.aspect, *ASPECT),
        (draws.place, 0.0, 1.0),
        (draws.jitter, 0.4, 1.6),
    ):
        margin = 0.01 * (high - low)
        assert low - 1e-6 <= values.min() < low + margin
        assert high - margin < values.max() <= high + 1e-6
    assert draws.grey.float().mean() == pytest.approx(0.4, abs=0.03)
    assert (draws.jitter == 1).all(dim=1).float().mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.5, 0.5), (1.0, 0.2)])
def test_a_square_crop_of_the_full_area_is_the_identity(place: tuple[float, float]) -> None:
    images = some_images(4)
    torch.testing.assert_close(resized_crop(images, boxes(1.0, 1.0, place, 4)), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("area", "aspect", "place"), [(0.25, 1.0, (0.3, 0.8)), (0.4, 1.3, (0.5, 0.4))])
def test_a_crop_shows_the_box_that_was_drawn(area: float, aspect: float, place: tuple[float, float]) -> None:
    size = 20
    centres = torch.arange(size) + 0.5
    rows, columns = torch.meshgrid(centres, centres, indexing="ij")
    cropped = resized_crop(torch.stack([rows, columns])[None], boxes(area, aspect, place))[0]
    height, width = (area / aspect) ** 0.5, (area * aspect) ** 0.5
    expected_rows = (1 - height) * place[0] * size + centres * height
    expected_columns = (1 - width) * place[1] * size + centres * width
    torch.testing.assert_close(cropped[0], expected_rows[:, None].expand(size, size), atol=1e-3, rtol=0)
    torch.testing.assert_close(cropped[1], expected_columns.expand(size, size), atol=1e-3, rtol=0)


@pytest.mark.parametrize("aspect", ASPECT)
@pytest.mark.parametrize("place", [(0.0, 0.0), (1.0, 1.0)])
def test_a_crop_never_leaves_the_image(aspect: float, place: tuple[float, float]) -> None:
    bright = torch.full((1, 1, 8, 8), 0.7)
    torch.testing.assert_close(resized_crop(bright, boxes(0.95, aspect, place)), bright)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_keeps_the_range(channels: int) -> None:
    factors = 0.01 + 1.98 * torch.rand(200, 3, generator=seeded())
    images = some_images(200, channels)
    images[::2] = images[::2].round()
    changed = jittered(images, factors)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.allclose(changed, images, atol=0.1)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_by_factors_of_one_is_the_identity(channels: int) -> None:
    images = some_images(channels=channels)
    torch.testing.assert_close(jittered(images, torch.ones(16, 3)), images)


def test_brightness_contrast_and_saturation_do_what_they_are_called() -> None:
    image = some_images(1)
    grey = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=1, keepdim=True).expand_as(image)
    torch.testing.assert_close(jittered(image, torch.tensor([[0.5, 1.0, 1.0]])), image / 2)
    torch.testing.assert_close(jittered(image, torch.tensor([[1.0, 0.0, 1.0]])), grey.mean().expand_as(image))
    torch.testing.assert_close(jittered(image, torch.tensor([[1.0, 1.0, 0.0]])), grey)


def test_saturation_leaves_a_grey_image_alone() -> None:
    image = some_images(1, channels=1)
    torch.testing.assert_close(jittered(image, torch.tensor([[1.0, 1.0, 0.0]])), image)
