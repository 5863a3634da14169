import shutil
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unlearning.data.batches import Batch, ImageSplit, Plan, in_order, save_pixels, shuffled
from unlearning.data.images import fit
from unlearning.data.manifest import SPLIT_FOLDER, Manifest, Split
from unlearning.data.reading import read_image
from unlearning.errors import InputError
from unlearning.params import Augment

CPU = torch.device("cpu")
COUNT, SIZE = 12, 8
STRONG = {"padding": 1, "min_area": 0.4, "flip": 0.5, "jitter": 0.5, "grayscale": 0.3}
MakeAugment = Callable[..., Augment]


@pytest.fixture
def streaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_image: Callable[..., Path]) -> Manifest:
    """Write images of several sizes and return a manifest that streams them."""
    monkeypatch.chdir(tmp_path)
    ids = [f"class{i % 3}/{i:02d}.png" for i in range(COUNT)]
    for number, name in enumerate(ids):
        write_image(Path("images") / name, (SIZE + number % 4, SIZE + number % 3), number, grey=number % 5 == 0)
    splits = {"train": Split(ids, np.arange(COUNT, dtype=np.int64) % 3)}
    names = ["class0", "class1", "class2"]
    return Manifest("image_folder", names, SIZE, 3, [0.4, 0.5, 0.6], [0.2, 0.3, 0.4], "images", "abc", splits, [1])


@pytest.fixture
def pixels(streaming: Manifest) -> Tensor:
    return torch.stack([fit(read_image(Path("images") / name), SIZE) for name in streaming.splits["train"].ids])


@pytest.fixture
def resident(streaming: Manifest, pixels: Tensor) -> Manifest:
    """Return the manifest of the same images, whose pixels are held in memory."""
    save_pixels("train", pixels)
    return replace(streaming, root=None)


@pytest.fixture(params=["resident", "streaming"])
def manifest(request: pytest.FixtureRequest) -> Manifest:
    return request.getfixturevalue(request.param)


def some_plans(*seeds: int) -> list[Plan]:
    return [Plan(torch.tensor([(7 * seed + 5 * i) % COUNT for i in range(6)]), seed) for seed in seeds]


def read(manifest: Manifest, plans: list[Plan], augment: Augment | None = None, **where: int) -> list[Batch]:
    return list(ImageSplit(manifest, "train", CPU, **where).batches(plans, augment))


def images_of(batches: list[Batch]) -> Tensor:
    return torch.cat([batch.images for batch in batches])


def test_images_are_normalised(manifest: Manifest, pixels: Tensor) -> None:
    (batch,) = read(manifest, in_order(np.arange(COUNT), COUNT))
    expected = (pixels.numpy() / 255 - np.reshape([0.4, 0.5, 0.6], (3, 1, 1))) / np.reshape([0.2, 0.3, 0.4], (3, 1, 1))
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(batch.images.numpy(), expected, atol=1e-5)


def test_labels_and_images_are_those_of_the_positions(manifest: Manifest) -> None:
    everything = images_of(read(manifest, in_order(np.arange(COUNT), COUNT)))
    plans = some_plans(0, 1, 2)
    batches = read(manifest, plans)
    assert len(batches) == 3
    for plan, batch in zip(plans, batches, strict=True):
        assert torch.equal(batch.positions, plan.positions)
        assert torch.equal(batch.labels, plan.positions % 3)
        assert torch.equal(batch.images, everything[plan.positions])


@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_of_several_processes_are_the_batch_of_one(
    manifest: Manifest, make_augment: MakeAugment, world: int
) -> None:
    augment, plans = make_augment(**STRONG), some_plans(1, 2)
    whole = read(manifest, plans, augment)
    shares = [read(manifest, plans, augment, rank=rank, world=world) for rank in range(world)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert [len(part.labels) for part in parts] == [6 // world] * world
        assert torch.equal(torch.cat([part.positions for part in parts]), batch.positions)
        assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)
        torch.testing.assert_close(torch.cat([part.images for part in parts]), batch.images)


def test_shares_are_equal_and_a_remainder_is_left_out() -> None:
    plan = Plan(torch.arange(7), 0)
    assert [plan.share(rank, 2) for rank in range(2)] == [slice(0, 3), slice(3, 6)]
    assert [plan.share(rank, 3) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_augmentation_depends_on_the_plans_seed_alone(manifest: Manifest, make_augment: MakeAugment) -> None:
    augment = make_augment(**STRONG)
    (first, second), positions = some_plans(1, 2), torch.arange(6)
    torch.manual_seed(0)
    alone = images_of(read(manifest, [Plan(positions, 1)], augment))
    torch.manual_seed(1)
    after_another = images_of(read(manifest, [second, Plan(positions, 1), first], augment)[1:2])
    assert torch.equal(alone, after_another)
    assert not torch.equal(alone, images_of(read(manifest, [Plan(positions, 2)], augment)))


def test_copies_of_an_image_in_one_batch_are_augmented_differently(
    manifest: Manifest, make_augment: MakeAugment
) -> None:
    images = images_of(read(manifest, [Plan(torch.tensor([4, 4]), 0)], make_augment(min_area=0.3)))
    assert not torch.allclose(images[0], images[1], atol=0.01)


def test_reading_changes_no_pixel_of_the_split(resident: Manifest, pixels: Tensor, make_augment: MakeAugment) -> None:
    split = ImageSplit(resident, "train", CPU)
    for _ in split.batches(in_order(np.arange(COUNT), 4), make_augment(**STRONG)):
        pass
    assert torch.equal(split.reader.pixels, pixels)
    assert np.array_equal(np.load(SPLIT_FOLDER / "train.npy"), pixels.numpy())


@pytest.mark.parametrize("content", [None, b"", b"no array"])
def test_pixels_that_cannot_be_loaded_are_named_with_what_to_run(resident: Manifest, content: bytes | None) -> None:
    path = SPLIT_FOLDER / "train.npy"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path} (not found|is not a file of pixels).*; run `dvc repro"):
        ImageSplit(resident, "train", CPU)


@pytest.mark.parametrize("shape", [(13, 10), (SIZE, SIZE), (4, 5)])
def test_given_pixels_are_served_fitted_to_the_models_size_and_need_no_file(
    manifest: Manifest, shape: tuple[int, int]
) -> None:
    shutil.rmtree("images")
    shutil.rmtree(SPLIT_FOLDER, ignore_errors=True)
    random = np.random.default_rng(1)
    given = torch.from_numpy(random.integers(0, 256, (COUNT, 3, *shape), dtype=np.uint8))
    plans = some_plans(0, 1)
    for plan, batch in zip(plans, ImageSplit(manifest, "train", CPU, pixels=given).batches(plans), strict=True):
        pixels = batch.images * torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1) + torch.tensor([0.4, 0.5, 0.6]).view(
            3, 1, 1
        )
        torch.testing.assert_close(255 * pixels, fit(given[plan.positions], SIZE).float(), atol=1e-3, rtol=0)
        assert torch.equal(batch.positions, plan.positions)
        assert torch.equal(batch.labels, plan.positions % 3)


def test_given_pixels_are_augmented_like_those_of_a_file(
    resident: Manifest, pixels: Tensor, make_augment: MakeAugment
) -> None:
    augment, plans, before = make_augment(**STRONG), some_plans(1, 2), pixels.clone()
    given = list(ImageSplit(resident, "train", CPU, pixels=pixels).batches(plans, augment))
    assert torch.equal(images_of(given), images_of(read(resident, plans, augment)))
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_images_are_those_held_in_memory(streaming: Manifest, resident: Manifest, workers: int) -> None:
    plans = some_plans(0, 1, 2)
    streamed, held = read(streaming, plans, workers=workers), read(resident, plans)
    assert torch.equal(images_of(streamed), images_of(held))
    assert [batch.labels.tolist() for batch in streamed] == [batch.labels.tolist() for batch in held]


def test_streamed_images_without_crops_are_augmented_like_those_held_in_memory(
    streaming: Manifest, resident: Manifest, make_augment: MakeAugment
) -> None:
    augment, plans = make_augment(**{**STRONG, "min_area": 1.0}), some_plans(1, 2)
    assert torch.equal(images_of(read(streaming, plans, augment)), images_of(read(resident, plans, augment)))


def test_streamed_crops_do_not_depend_on_the_workers(streaming: Manifest, make_augment: MakeAugment) -> None:
    augment, plans = make_augment(**STRONG), some_plans(1, 2, 3)
    alone, with_workers = (images_of(read(streaming, plans, augment, workers=workers)) for workers in (0, 2))
    assert torch.equal(alone, with_workers)


def test_workers_stay_from_one_pass_to_the_next(streaming: Manifest, make_augment: MakeAugment) -> None:
    split = ImageSplit(streaming, "train", CPU, workers=2)
    before = {process.pid for process in active_children()}
    images, workers = [], []
    for augment in (make_augment(**STRONG), None, make_augment(**STRONG)):
        images.append(images_of(list(split.batches(some_plans(1, 2), augment))))
        workers.append({process.pid for process in active_children()} - before)
    assert torch.equal(images[0], images[2])
    assert torch.equal(images[1], images_of(read(streaming, some_plans(1, 2))))
    assert len(workers[0]) == 2
    assert workers[0] == workers[1] == workers[2]


def test_two_passes_at_once_do_not_mix(streaming: Manifest, make_augment: MakeAugment) -> None:
    split, augment = ImageSplit(streaming, "train", CPU, workers=1), make_augment(**STRONG)
    pairs = list(zip(split.batches(some_plans(1, 2, 3), augment), split.batches(some_plans(4, 5, 6)), strict=True))
    assert torch.equal(images_of([one for one, _ in pairs]), images_of(read(streaming, some_plans(1, 2, 3), augment)))
    assert torch.equal(images_of([other for _, other in pairs]), images_of(read(streaming, some_plans(4, 5, 6))))


def test_a_pass_that_was_left_does_not_show_in_the_next(streaming: Manifest) -> None:
    split = ImageSplit(streaming, "train", CPU, workers=2)
    next(split.batches(some_plans(1, 2, 3)))
    assert torch.equal(images_of(list(split.batches(some_plans(4, 5)))), images_of(read(streaming, some_plans(4, 5))))


def test_workers_take_no_draw_from_the_generator_of_dropout(streaming: Manifest) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    read(streaming, some_plans(1, 2), workers=1)
    assert torch.equal(torch.rand(4), expected)


def test_a_streamed_crop_depends_on_the_plans_seed_and_not_on_its_neighbours(
    streaming: Manifest, make_augment: MakeAugment
) -> None:
    augment = make_augment(min_area=0.3)
    first, second, other = (
        images_of(read(streaming, [Plan(torch.tensor(positions), seed)], augment))
        for positions, seed in (([3, 5, 7], 1), ([9, 5, 2], 1), ([3, 5, 7], 2))
    )
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])


def test_streaming_crops_once_only(streaming: Manifest, make_augment: MakeAugment) -> None:
    for name in streaming.splits["train"].ids:
        Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))).save(Path("images") / name)
    images = images_of(read(streaming, some_plans(*range(20)), make_augment(min_area=0.9)))
    images = images * torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1) + torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    kept = (images[..., -1] - images[..., 0]).mean(dim=(1, 2)) / ((SIZE - 1) / SIZE * 64 * 4 / 255)
    assert kept.min() > 0.75  # of the width: a box of 90 % of the area and aspect 3:4 keeps 82 %, two in turn 67 %


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_vanished_is_named_in_one_line_when_its_batch_is_due(streaming: Manifest, workers: int) -> None:
    path = Path("images") / streaming.splits["train"].ids[9]
    path.unlink()
    batches = ImageSplit(streaming, "train", CPU, workers=workers).batches(in_order(np.arange(COUNT), 4))
    assert [next(batches).positions.tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(InputError) as caught:
        next(batches)
    message = str(caught.value)
    assert message.startswith(f"cannot read the image {path} (")
    assert message.endswith("); repair it and run again")
    assert "\n" not in message


def test_a_file_that_became_unreadable_is_named(streaming: Manifest, unreadable: bytes) -> None:
    path = Path("images") / streaming.splits["train"].ids[5]
    path.write_bytes(unreadable)
    with pytest.raises(InputError, match=f"^cannot read the image {path} "):
        read(streaming, in_order(np.arange(COUNT), 4))


@pytest.mark.parametrize(("count", "size", "batches"), [(20, 6, 3), (20, 5, 4), (7, 7, 1), (5, 8, 1), (1, 4, 1)])
def test_shuffled_visits_each_sample_at_most_once_in_full_batches(count: int, size: int, batches: int) -> None:
    positions = np.arange(100, 100 + 3 * count, 3)
    plans = shuffled(positions, size, 0, "train", 1)
    assert [len(plan.positions) for plan in plans] == [min(size, count)] * batches
    visited = torch.cat([plan.positions for plan in plans]).tolist()
    assert len(set(visited)) == len(visited)
    assert set(visited) <= set(positions.tolist())


def test_a_set_smaller_than_a_batch_is_one_batch_of_all() -> None:
    (plan,) = shuffled(np.array([4, 8, 15]), 16, 0)
    assert sorted(plan.positions.tolist()) == [4, 8, 15]


def test_the_same_seed_names_the_same_order_and_another_seed_another() -> None:
    def plans(*seed: int | str) -> list[tuple[list[int], int]]:
        torch.manual_seed(len(seed))
        return [(plan.positions.tolist(), plan.seed) for plan in shuffled(np.arange(40), 8, *seed)]

    assert plans(0, "ec", 3) == plans(0, "ec", 3)
    for other in ((1, "ec", 3), (0, "cu", 3), (0, "ec", 4)):
        assert [order for order, _ in plans(*other)] != [order for order, _ in plans(0, "ec", 3)]
        assert not {seed for _, seed in plans(*other)} & {seed for _, seed in plans(0, "ec", 3)}


def test_each_batch_of_an_epoch_has_an_augmentation_seed_of_its_own() -> None:
    assert len({plan.seed for plan in shuffled(np.arange(40), 4, 0)}) == 10


def test_several_epochs_reach_the_samples_a_single_one_leaves_out() -> None:
    visited = {int(i) for epoch in range(20) for plan in shuffled(np.arange(11), 4, 0, epoch) for i in plan.positions}
    assert visited == set(range(11))


@pytest.mark.parametrize(("count", "sizes"), [(10, [4, 4, 2]), (8, [4, 4]), (3, [3]), (0, [])])
def test_in_order_covers_all_in_order(count: int, sizes: list[int]) -> None:
    positions = np.arange(count)[::-1].copy()
    plans = in_order(positions, 4)
    assert [len(plan.positions) for plan in plans] == sizes
    assert [int(i) for plan in plans for i in plan.positions] == positions.tolist()


def test_judged_on_validation_its_pixels_are_read(world: Manifest) -> None:
    judged = ImageSplit(world.judged_on("validation"), "test", torch.device("cpu"))
    own = ImageSplit(world, "validation", torch.device("cpu"))
    count = len(world.splits["validation"].labels)
    batches = [next(iter(split.batches(in_order(np.arange(count), count)))) for split in (judged, own)]
    assert torch.equal(batches[0].images, batches[1].images)
    assert torch.equal(batches[0].labels, batches[1].labels)
