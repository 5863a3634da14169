from itertools import pairwise

import pytest
import torch

from tests.conftest import NO_AUGMENT
from unlearning.data.batches import ImageSplit
from unlearning.engine.schedule import BatchSchedule

AUGMENT = NO_AUGMENT.model_copy(update={"flip": 0.5, "padding": 1})
PARTS = {"all": 96, "forget": 32, "retain": 64}  # training images of the small world


@pytest.fixture
def make_schedule(world):
    def make(seed=0, name="cu", split="train", rank=0, processes=1):
        images = ImageSplit(world, split, torch.device("cpu"), rank=rank, world=processes)
        return BatchSchedule(world, images, seed, name, split)

    return make


def same(first, second):
    """Whether two lists of batches hold the same images, augmented alike, in the same order."""
    return len(first) == len(second) and all(
        torch.equal(a.positions, b.positions) and torch.equal(a.images, b.images)
        for a, b in zip(first, second, strict=True)
    )


def positions(batches):
    return torch.cat([batch.positions for batch in batches]).tolist()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("batch_size", [2, 8, 10, 32, 33, 1000])
def test_a_pass_has_full_batches_and_no_image_twice(make_schedule, world, part: str, batch_size: int) -> None:
    schedule = make_schedule()
    steps, size = schedule.steps(part, batch_size), min(batch_size, PARTS[part])
    batches = list(schedule.visit(part, batch_size, AUGMENT, 1))
    assert len(batches) == steps == max(1, PARTS[part] // batch_size)
    assert {len(batch.positions) for batch in batches} == {size}
    assert {tuple(batch.images.shape) for batch in batches} == {(size, 1, 8, 8)}
    seen = positions(batches)
    assert len(set(seen)) == len(seen) == steps * size
    assert set(seen) <= set(world.select("train", part).tolist())


def test_what_one_pass_leaves_out_comes_in_another(make_schedule, world) -> None:
    passes = [positions(make_schedule().visit("forget", 30, AUGMENT, epoch)) for epoch in range(1, 6)]
    assert all(len(seen) == 30 for seen in passes)
    assert {position for seen in passes for position in seen} == set(world.select("train", "forget").tolist())


def test_labels_belong_to_the_positions(make_schedule, world) -> None:
    for batch in make_schedule().visit("all", 8, AUGMENT, 1, views=2):
        assert batch.labels.tolist() == world.splits["train"].labels[batch.positions.numpy()].tolist()


def test_a_pass_is_named_by_epoch_seed_and_run_alone(make_schedule) -> None:
    schedule = make_schedule()
    second = list(schedule.visit("retain", 8, AUGMENT, 2))
    assert same(second, list(make_schedule().visit("retain", 8, AUGMENT, 2)))
    assert same(second, list(schedule.visit("retain", 8, AUGMENT, 2)))
    others = [(make_schedule(), 1), (make_schedule(seed=1), 2), (make_schedule(name="ec"), 2)]
    for other, epoch in others:
        assert positions(other.visit("retain", 8, AUGMENT, epoch)) != positions(second)


def test_views_repeat_the_images_of_the_same_pass(make_schedule) -> None:
    schedule = make_schedule()
    once, twice = (list(schedule.visit("retain", 8, AUGMENT, 3, views)) for views in (1, 2))
    assert len(once) == len(twice)
    for one, two in zip(once, twice, strict=True):
        assert torch.equal(two.positions, one.positions.repeat(2))
        first, second = two.images.chunk(2)
        assert not torch.equal(first, second)


def test_views_that_are_not_augmented_are_equal(make_schedule) -> None:
    for batch in make_schedule().visit("retain", 8, NO_AUGMENT, 1, views=2):
        assert torch.equal(*batch.images.chunk(2))


@pytest.mark.parametrize("borders", [(0, 3, 4, 11, 20), (0, 4, 8, 20), (0, 1, 2, 19, 20), (0, 20)])
def test_a_stream_goes_on_where_it_was_left(make_schedule, borders: tuple[int, ...]) -> None:
    whole = list(make_schedule().stream("forget", 8, AUGMENT, 0, 20))
    assert len(whole) == 20
    parts = [
        list(make_schedule().stream("forget", 8, AUGMENT, first, last - first)) for first, last in pairwise(borders)
    ]
    assert [len(part) for part in parts] == [last - first for first, last in pairwise(borders)]
    assert same([batch for part in parts for batch in part], whole)


def test_a_stream_is_one_pass_after_another(make_schedule, world) -> None:
    schedule = make_schedule()
    stream, steps = list(schedule.stream("forget", 8, AUGMENT, 0, 12)), 4
    passes = [stream[first : first + steps] for first in range(0, 12, steps)]
    for number, batches in enumerate(passes):
        assert sorted(positions(batches)) == world.select("train", "forget").tolist()
        assert same(batches, list(schedule.visit("forget", 8, AUGMENT, number)))
    assert len({tuple(positions(batches)) for batches in passes}) == 3


@pytest.mark.parametrize("first", [0, 3, 4, 7])
def test_a_stream_of_no_batches_is_empty(make_schedule, first: int) -> None:
    assert list(make_schedule().stream("forget", 8, AUGMENT, first, 0)) == []


def test_a_stream_of_a_part_smaller_than_a_batch_repeats_the_part(make_schedule, world) -> None:
    batches = list(make_schedule().stream("forget", 1000, AUGMENT, 5, 3))
    assert [sorted(batch.positions.tolist()) for batch in batches] == [world.select("train", "forget").tolist()] * 3
    assert not torch.equal(batches[0].positions, batches[1].positions)


def test_a_batch_larger_than_its_part_is_said_once_per_part(make_schedule, capsys: pytest.CaptureFixture[str]) -> None:
    schedule = make_schedule(name="scrub")
    for _ in range(3):
        for part in PARTS:
            schedule.steps(part, 50)
            schedule.steps(part, 1000)
            list(schedule.stream(part, 1000, AUGMENT, 0, 2))
    assert capsys.readouterr().err.splitlines() == [
        "scrub: batch_size 1000, but there are 96 train images; using all",
        "scrub: batch_size 50, but there are 32 train images to forget; using all",
        "scrub: batch_size 1000, but there are 64 train images to retain; using all",
    ]


def test_a_batch_as_large_as_its_part_is_not_worth_a_word(make_schedule, capsys: pytest.CaptureFixture[str]) -> None:
    assert [make_schedule().steps(part, size) for part, size in PARTS.items()] == [1, 1, 1]
    assert capsys.readouterr().err == ""


def test_only_the_first_process_speaks(make_schedule, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_schedule(rank=1, processes=2).steps("forget", 1000) == 1
    assert capsys.readouterr().err == ""
    make_schedule(rank=0, processes=2).steps("forget", 1000)
    assert "32 train images to forget" in capsys.readouterr().err


def test_another_split_is_named_and_has_its_own_parts(make_schedule, world, capsys: pytest.CaptureFixture[str]) -> None:
    schedule = make_schedule(split="validation")
    assert [schedule.steps(part, 8) for part in ("all", "retain", "forget")] == [2, 1, 1]
    said = capsys.readouterr().err.splitlines()
    assert said == ["cu: batch_size 8, but there are 6 validation images to forget; using all"]
    seen = positions(schedule.visit("forget", 8, NO_AUGMENT, 1))
    assert sorted(seen) == world.select("validation", "forget").tolist()


@pytest.mark.parametrize("views", [1, 2])
def test_processes_share_each_batch(make_schedule, views: int) -> None:
    whole = list(make_schedule().visit("retain", 8, AUGMENT, 1, views))
    shares = [list(make_schedule(rank=rank, processes=2).visit("retain", 8, AUGMENT, 1, views)) for rank in range(2)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert torch.equal(torch.cat([first.images, second.images]), batch.images)
        assert torch.equal(torch.cat([first.positions, second.positions]), batch.positions)
