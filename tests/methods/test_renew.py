from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.conftest import SHAPE, config_of, weights_of
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.methods import renew
from unlearning.models.backbone import build
from unlearning.models.taps import penultimate, stage_of_each, tapped

MakeRun = Callable[..., Run]
SHARES = [0.0, 0.25, 0.5, 1.0, 1.0]


def two_models() -> tuple[nn.Module, nn.Module]:
    """Return a model whose every number, batch statistics included, is its own, and a fresh one."""
    torch.manual_seed(0)
    model = build(SHAPE)
    model.train()(torch.randn(8, 1, 8, 8))
    return model, build(SHAPE)


def test_weights_are_mixed_by_the_share_of_their_stage() -> None:
    model, fresh = two_models()
    before, new, stage = weights_of(model), weights_of(fresh), stage_of_each(model)
    renew.renew(model, fresh, renew.shares_of(model, SHARES))
    for name, tensor in model.state_dict().items():
        a = SHARES[stage[name]]
        expected = (1 - a) * before[name] + a * new[name] if tensor.is_floating_point() else before[name]
        torch.testing.assert_close(tensor, expected, msg=name)


def test_share_one_leaves_nothing_and_share_zero_everything() -> None:
    model, fresh = two_models()
    before = weights_of(model)
    renew.renew(model, fresh, renew.shares_of(model, [0.0] * 5))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    renew.renew(model, fresh, renew.shares_of(model, [1.0] * 5))
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(model.eval()(images), fresh.eval()(images))


def plain_loss(
    teacher: nn.Module, student: nn.Module, fresh: nn.Module, cfg: Any, retain: Tensor, labels: Tensor, forget: Tensor
) -> Tensor:
    """The first step's loss by the formula, on the student renewed by hand."""
    weights, new = student.state_dict(), fresh.state_dict()
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            a = cfg.shares[stage_of_each(student)[name]]
            weights[name] = (1 - a) * tensor + a * new[name]
    student.load_state_dict(weights)
    with penultimate(student.train()) as last, tapped(student, ["layer3"]) as stage:
        logits = student(torch.cat([forget, retain]))[len(forget) :]
    layers = [stage["layer3"].mean(dim=(2, 3)), last[0]]
    with torch.no_grad():
        answers = teacher.eval()(retain)
    answers[:, [1, 4]] = -torch.inf
    target = (answers / cfg.temperature).softmax(dim=1)
    mass = target > 0
    difference = torch.where(mass, target.clamp(min=1e-30).log() - (logits / cfg.temperature).log_softmax(dim=1), 0)
    kd = cfg.temperature**2 * (target * difference).sum(dim=1).mean()
    apart = sum(
        w * plain_mmd(z[: len(forget)], z[len(forget) :], cfg.taus) for w, z in zip([0.5, 2.0], layers, strict=True)
    )
    return F.cross_entropy(logits, labels) + cfg.lambda_kd * kd + cfg.lambda_mmd * apart


def plain_mmd(x: Tensor, y: Tensor, taus: list[float]) -> Tensor:
    """Mean kernel of two of x plus that of two of y minus twice that of one of each; y is given."""
    x, y = F.normalize(x, dim=1), F.normalize(y, dim=1).detach()

    def k(a: Tensor, b: Tensor) -> Tensor:
        distances = torch.cdist(a[None], b[None], compute_mode="donot_use_mm_for_euclid_dist")[0].square()
        return torch.stack([(-distances / (2 * tau)).exp() for tau in taus]).mean(dim=0)

    def of_two(z: Tensor) -> Tensor:
        return k(z, z)[~torch.eye(len(z), dtype=torch.bool)].mean()

    return of_two(x) + of_two(y) - 2 * k(x, y).mean()


def test_the_first_step_is_the_formula(make_run: MakeRun) -> None:
    weights = [0.0, 0.0, 0.5, 2.0]
    cfg = config_of(
        "renew",
        lambda_kd=0.7,
        temperature=3.0,
        lambda_mmd=0.4,
        layer_weights=weights,
        shares=SHARES,
        forget_batch_size=4,
    )
    shown: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(run: Run, part: str) -> None:
        inner = getattr(run, part)
        name = {"visit": "retain", "stream": "forget"}[part]

        def batches(*arguments: Any) -> Any:
            for batch in inner(*arguments):
                shown.setdefault(name, (batch.images, batch.labels))
                yield batch

        setattr(run, part, batches)

    run = make_run(name="renew")
    for part in ("visit", "stream"):
        keep(run, part)
    loss = next(renew.unlearn(run, cfg))
    loss.backward()
    other = make_run(name="renew")
    expected = plain_loss(
        build_equal(other.model), other.model, other.fresh_model(), cfg, *shown["retain"], shown["forget"][0]
    )
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for own, plain in zip(run.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(own.grad, plain.grad, rtol=1e-3, atol=1e-4)


def build_equal(model: nn.Module) -> nn.Module:
    copy = build(SHAPE)
    copy.load_state_dict(model.state_dict())
    return copy


def test_no_forget_image_is_taught_by_the_original(make_run: MakeRun) -> None:
    run = make_run(name="renew")
    taught: list[int] = []
    teacher = run.teacher

    def watched() -> nn.Module:
        model = teacher()
        model.register_forward_pre_hook(lambda _, inputs: taught.append(len(inputs[0])))
        return model

    run.teacher = watched
    cfg = config_of("renew", forget_batch_size=4)
    for _ in islice(renew.unlearn(run, cfg), 3):
        pass
    assert taught == [cfg.batch_size] * 3


def test_without_a_match_no_forget_image_is_read(make_run: MakeRun) -> None:
    run, cfg = make_run(name="renew"), config_of("renew", lambda_mmd=0.0)

    def none(*_: Any) -> Any:
        raise AssertionError("a forget batch was asked for")

    run.stream = none
    progress = run.drive(renew.unlearn(run, cfg))
    assert progress.samples == progress.step * cfg.batch_size


def test_stages_of_weight_zero_are_not_tapped(make_run: MakeRun) -> None:
    points = renew.matched_points(make_run(name="renew"), config_of("renew", layer_weights=[0.2, 0.0, 0.8, 1.0]))
    assert points.network.names == ["layer1", "layer3", "final"]
    assert points.weights == [0.2, 0.8, 1.0]


@pytest.mark.parametrize("changes", [{"shares": [0.5, 1.0]}, {"layer_weights": [1.0]}], ids=str)
def test_one_number_a_stage_or_it_says_so(make_run: MakeRun, changes: dict[str, list[float]]) -> None:
    (key,) = changes
    with pytest.raises(InputError, match=rf"renew\.{key}: .* 4 stages \(layer1, layer2, layer3, layer4\)"):
        next(renew.unlearn(make_run(name="renew"), config_of("renew", **changes)))


def test_fresh_weights_depend_on_the_seed_alone(make_run: MakeRun) -> None:
    one, same, other = (weights_of(make_run(name="renew", seed=seed).fresh_model()) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["fc.weight"], other["fc.weight"])
