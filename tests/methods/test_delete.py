import copy
import math

import pytest
import torch

from tests.conftest import config_of
from unlearning.methods import delete
from unlearning.methods.delete import masked_target

FORGET = [1, 4]
MASKS = {"own_label": [], "all_forget": FORGET}


def logits(count: int = 7, classes: int = 6) -> torch.Tensor:
    return 3 * torch.randn(count, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def own_labels(count: int = 7) -> torch.Tensor:
    return torch.tensor(FORGET).repeat(count)[:count]


def target_of(row: list[float], own: int, masked: list[int], alpha: float, temperature: float) -> list[float]:
    """The target of one sample, class by class."""
    taken = {own, *masked}
    powers = [0.0 if label in taken else math.exp(value / temperature) for label, value in enumerate(row)]
    return [alpha if label == own else (1 - alpha) * power / sum(powers) for label, power in enumerate(powers)]


def divergence(target: list[float], student: list[float], temperature: float) -> float:
    """KL(target || softmax(student/T)) of one sample."""
    log_sum = math.log(sum(math.exp(value / temperature) for value in student))
    pairs = zip(target, student, strict=True)
    return sum(p * (math.log(p) - (value / temperature - log_sum)) for p, value in pairs if p > 0)


@pytest.mark.parametrize("masked", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_target_equals_the_plain_loop(masked: list[int], alpha: float, temperature: float) -> None:
    values, own = logits(), own_labels()
    target = masked_target(values, own, torch.tensor(masked, dtype=torch.int64), alpha, temperature)
    rows = zip(values.tolist(), own.tolist(), strict=True)
    expected = torch.tensor(
        [target_of(row, label, masked, alpha, temperature) for row, label in rows], dtype=torch.float64
    )
    torch.testing.assert_close(target, expected)


@pytest.mark.parametrize("masked", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("alpha", [0.0, 0.25])
def test_target_is_a_distribution_with_alpha_at_the_own_label(masked: list[int], alpha: float) -> None:
    own = own_labels()
    target = masked_target(logits(), own, torch.tensor(masked, dtype=torch.int64), alpha, 1.0)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(7, dtype=torch.float64))
    assert (target >= 0).all()
    assert (target.gather(1, own[:, None]) == alpha).all()


def test_target_keeps_the_proportions_of_the_teacher() -> None:
    values, own = logits(), own_labels()
    target = masked_target(values, own, torch.tensor(FORGET), 0.2, 1.0)
    kept = [0, 2, 3, 5]
    ratio = target[:, kept] / values.softmax(dim=1)[:, kept]
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))


def test_only_all_forget_takes_the_mass_of_the_other_forget_classes() -> None:
    own = own_labels()
    other = (sum(FORGET) - own)[:, None]
    by_mask = {
        name: masked_target(logits(), own, torch.tensor(masked, dtype=torch.int64), 0.0, 1.0).gather(1, other)
        for name, masked in MASKS.items()
    }
    assert (by_mask["own_label"] > 0).all()
    assert (by_mask["all_forget"] == 0).all()


def test_a_temperature_above_one_flattens_the_target() -> None:
    sharp, flat = (masked_target(logits(), own_labels(), torch.tensor(FORGET), 0.0, t) for t in (1.0, 5.0))
    assert (flat.amax(dim=1) < sharp.amax(dim=1)).all()
    assert torch.equal(flat.argmax(dim=1), sharp.argmax(dim=1))


def test_a_teacher_sure_of_the_class_to_be_forgotten_gives_no_nan() -> None:
    sure = torch.zeros(2, 6)
    sure[0, 1] = sure[1, 4] = 1e4
    target = masked_target(sure, torch.tensor(FORGET), torch.tensor(FORGET), 0.0, 1.0)
    torch.testing.assert_close(target, torch.tensor([[0.25, 0, 0.25, 0.25, 0, 0.25]] * 2))


@pytest.mark.parametrize("changes", [{}, {"mask": "all_forget"}, {"alpha": 0.1, "temperature": 2.0}])
def test_first_loss_is_the_divergence_of_the_plain_loop(make_run, changes: dict) -> None:
    config = config_of("delete", **{"mask": "own_label", **changes})
    run, twin = make_run(name="delete"), make_run(name="delete", folder="twin")
    loss = next(delete.unlearn(run, config))
    teacher = copy.deepcopy(twin.model).eval()
    twin.optimise(twin.model, config)
    batch = next(twin.batches("forget", config))
    values = [output.double().tolist() for output in (teacher(batch.images), twin.model(batch.images))]
    total = 0.0
    for teacher_row, student_row, own in zip(*values, batch.labels.tolist(), strict=True):
        target = target_of(teacher_row, own, MASKS[config.mask], config.alpha, config.temperature)
        total += divergence(target, student_row, config.temperature)
    assert loss.item() == pytest.approx(total / len(batch.labels), rel=1e-5)


@pytest.mark.parametrize("batchnorm_eval", [True, False])
def test_batchnorm_eval_stops_the_statistics_and_nothing_else(make_run, batchnorm_eval: bool) -> None:
    run = make_run(name="delete")
    statistics = {name: value.clone() for name, value in run.model.named_buffers()}
    scale = run.model.bn1.weight.detach().clone()
    run.drive(delete.unlearn(run, config_of("delete", batchnorm_eval=batchnorm_eval, epochs=3)))
    moved = [name for name, value in run.model.named_buffers() if not torch.equal(value, statistics[name])]
    assert moved == ([] if batchnorm_eval else list(statistics))
    assert not torch.equal(run.model.bn1.weight, scale)


def test_forgets_and_keeps_with_either_mask(trained_run) -> None:
    for mask in MASKS:
        run = trained_run(name="delete", folder=mask)
        rows = run.drive(delete.unlearn(run, config_of("delete", mask=mask, epochs=8, lr=0.02))).rows
        assert run.forget_acc() == 0
        assert rows[-1]["validation_forget_acc"] == 0
        assert rows[-1]["validation_retain_acc"] > 60
