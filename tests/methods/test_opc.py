import math

import pytest
import torch
from torch.nn import functional as F

from tests.conftest import config_of
from unlearning.methods import opc


def features_and_logits(model, images):
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    return features, model.get_classifier()(features)


def norms(vectors: torch.Tensor) -> list[float]:
    return [math.sqrt(sum(value**2 for value in row)) for row in vectors.tolist()]


def test_mean_norm_is_that_of_the_rows() -> None:
    vectors = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    assert opc.mean_norm(vectors).item() == pytest.approx(sum(norms(vectors)) / 7, rel=1e-6)


def test_the_point_itself_has_no_norm_and_no_gradient() -> None:
    point = torch.zeros(3, 4, requires_grad=True)
    norm = opc.mean_norm(point)
    norm.backward()
    assert norm.item() == 0
    assert torch.equal(point.grad, torch.zeros(3, 4))


@pytest.mark.parametrize("norm", ["logits", "features"])
def test_loss_is_the_papers(make_run, norm: str) -> None:
    run, twin = make_run(), make_run(folder="twin")
    config = config_of("opc", norm=norm, lambda_opc=0.3)
    loss = next(opc.unlearn(run, config))
    forget = next(twin.schedule.visit("forget", 8, config.augment, 1))
    retain = next(twin.schedule.stream("retain", 8, config.augment, 0, 1))
    features, logits = features_and_logits(twin.model.train(), torch.cat([forget.images, retain.images]))
    contracted = {"logits": logits, "features": features}[norm][:8]
    expected = F.cross_entropy(logits[8:], retain.labels) + 0.3 * sum(norms(contracted)) / 8
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("omega", [1, 3])
def test_every_step_is_one_forward_pass_of_both(make_run, omega: int) -> None:
    run = make_run()
    progress = run.drive(opc.unlearn(run, config_of("opc", epochs=2, omega=omega)))
    assert progress.step == 2 * 4 * omega
    assert run.model.bn1.num_batches_tracked == progress.step
    assert progress.samples == progress.step * (8 + 8)


@torch.no_grad()
def mean_norms(run, part: str) -> dict[str, float]:
    [batch] = run.scan(part)
    features, logits = features_and_logits(run.model.eval(), batch.images)
    return {
        "logits": sum(norms(logits)) / len(logits),
        "features": sum(norms(features)) / len(features),
    }


@pytest.mark.parametrize("norm", ["logits", "features"])
def test_forget_images_contract_and_retain_images_do_not(make_run, norm: str, trained) -> None:
    run = make_run()
    run.model.load_state_dict(trained)
    before = mean_norms(run, "forget")[norm]
    rows = run.drive(opc.unlearn(run, config_of("opc", epochs=10, norm=norm))).rows
    after, retained = mean_norms(run, "forget")[norm], mean_norms(run, "retain")[norm]
    assert after < 0.3 * before
    assert after < 0.3 * retained
    assert rows[-1]["validation_retain_acc"] > 80
