import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.conftest import config_of, weights_of
from tests.methods.conftest import visits
from unlearning.methods import rl, salun

SHAPES = [(3, 4, 2), (7,), (5, 6), (1,)]
COUNTS = {0.01: 0, 0.1: 6, 0.25: 15, 0.5: 31, 0.9: 55, 0.999: 61, 1.0: 62}  # share: of the 62 weights


def gradients(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def flat(tensors: list[Tensor]) -> np.ndarray:
    return torch.cat([tensor.flatten() for tensor in tensors]).numpy()


@pytest.mark.parametrize("scan_batch", [32, 12])
def test_gradient_is_summed_over_images_in_eval_mode(make_run, scan_batch: int) -> None:
    run, twin = make_run(), make_run(folder="twin")
    whole = run.scan
    run.scan = lambda part: whole(part, scan_batch)
    actual = salun.forget_gradients(run)
    twin.model.eval()
    expected = [torch.zeros_like(parameter) for parameter in twin.model.parameters()]
    for image in twin.scan("forget", batch_size=1):
        twin.model.zero_grad()
        F.cross_entropy(twin.model(image.images), image.labels).backward()
        for total, parameter in zip(expected, twin.model.parameters(), strict=True):
            total += parameter.grad
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_looking_for_the_gradient_leaves_no_trace(make_run) -> None:
    run = make_run()
    before = weights_of(run.model)
    run.model.train()
    salun.forget_gradients(run)
    assert run.model.bn1.training
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert all(torch.equal(run.model.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("share", COUNTS)
def test_mask_is_the_share_of_all_weights_together_with_the_largest_gradients(share: float) -> None:
    values = gradients()
    masks = salun.saliency_masks(values, share)
    assert [(mask.dtype, mask.shape) for mask in masks] == [(torch.bool, value.shape) for value in values]
    sizes, chosen = np.abs(flat(values)), flat(masks)
    count = COUNTS[share]
    assert chosen.sum() == count
    assert set(np.flatnonzero(chosen)) == set(np.argsort(sizes)[len(sizes) - count :])


def test_mask_compares_between_tensors() -> None:
    small, large = torch.full((4,), 0.1), torch.full((4,), -3.0)
    masks = salun.saliency_masks([small, large], 0.5)
    assert flat(masks).tolist() == [False] * 4 + [True] * 4


@pytest.mark.parametrize("share", COUNTS)
def test_equal_gradients_do_not_widen_the_mask(share: float) -> None:
    zeros = [torch.zeros(shape) for shape in SHAPES]
    assert flat(salun.saliency_masks(zeros, share)).sum() == COUNTS[share]


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.1, 59, 5), (0.5, 59, 29), (0.3, 10, 3), (0.29, 100, 29), (0.57, 100, 57), (1.0, 59, 59), (0.00001, 99_999, 0)],
)
def test_the_number_of_free_weights_is_the_integer_part(share: float, count: int, expected: int) -> None:
    assert salun.integer_part(share, count) == expected
    random = torch.rand(count, generator=torch.Generator().manual_seed(0))
    assert salun.saliency_masks([random], share)[0].sum() == expected


def test_no_share_written_with_two_digits_loses_a_weight_to_rounding() -> None:
    for hundredths in range(1, 101):
        for count in range(1, 2000, 7):
            assert salun.integer_part(hundredths / 100, count) == hundredths * count // 100


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weights_outside_the_mask_stay_to_the_bit_and_the_others_move(make_run, optimizer: str) -> None:
    config = config_of("salun", saliency=0.3, optimizer=optimizer, momentum=0.9, weight_decay=0.1)
    run, twin = make_run(), make_run(folder="twin")
    masks = flat(salun.saliency_masks(salun.forget_gradients(twin), 0.3))
    before, mean = flat([p.detach() for p in twin.model.parameters()]), twin.model.bn1.running_mean
    run.drive(salun.unlearn(run, config))
    after = flat([p.detach() for p in run.model.parameters()])
    assert (before.view(np.int32) == after.view(np.int32))[~masks].all()
    assert (before != after)[masks].mean() > 0.99
    assert not torch.equal(run.model.bn1.running_mean, mean)


@pytest.mark.parametrize(
    ("variant", "parts"), [("official", ["forget"] * 4 + ["retain"] * 8), ("ec_paper", ["forget"] * 4)]
)
def test_an_epoch_is_a_forget_pass_and_officially_a_retain_pass(make_run, variant: str, parts: list[str]) -> None:
    run = make_run()
    seen = visits(run, salun.unlearn(run, config_of("salun", variant=variant, epochs=2)))
    assert run.progress.step == 2 * len(parts)
    for epoch in (1, 2):
        assert [part for number, part, _ in seen if number == epoch] == parts
        for part in set(parts):
            positions = [p for number, name, batch in seen if (number, name) == (epoch, part) for p in batch]
            assert sorted(positions) == run.manifest.select("train", part).tolist()


@pytest.mark.parametrize(("variant", "retain_pass"), [("official", True), ("ec_paper", False)])
def test_with_every_weight_salient_it_is_rl(make_run, variant: str, retain_pass: bool) -> None:
    run, twin = make_run(name="same"), make_run(name="same", folder="twin")
    config = config_of("salun", variant=variant, saliency=1.0)
    run.drive(salun.unlearn(run, config))
    shared = config.model_dump(exclude={"variant", "saliency"}) | {"augment": config.augment}
    twin.drive(rl.unlearn(twin, rl.Config(**shared, retain_pass=retain_pass)))
    assert all(torch.equal(run.model.state_dict()[name], value) for name, value in weights_of(twin.model).items())


def test_with_few_weights_salient_it_is_not_rl(make_run) -> None:
    ends = []
    for share in (0.5, 1.0):
        run = make_run(folder=str(share))
        run.drive(salun.unlearn(run, config_of("salun", saliency=share)))
        ends.append(run.model.conv1.weight)
    assert not torch.equal(*ends)


def test_forgets_and_keeps(make_run, trained) -> None:
    run = make_run()
    run.model.load_state_dict(trained)
    rows = run.drive(salun.unlearn(run, config_of("salun", epochs=6))).rows
    assert run.forget_acc() == 0
    assert rows[-1]["validation_forget_acc"] == 0
    assert rows[-1]["validation_retain_acc"] > 80
