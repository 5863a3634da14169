"""Batches in pieces: the gradients of the whole batch, for losses that add up over images and for those that do not."""

import runpy
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.engine.test_distributed import ONE
from tests.evaluation.test_stage import STAGE, saved, write_params  # noqa: F401 - a fixture by its name
from unlearning.engine.launch import InPrecision
from unlearning.engine.pieces import InPieces
from unlearning.losses.contrastive_unlearning import contrastive_unlearning
from unlearning.losses.supcon import supcon
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.models.supervision import SupervisedNetwork, Supervision

CLASSES, SIZE, IMAGES = 6, 8, 13  # images: no multiple of any piece
TINY = {"img_size": SIZE, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2, "proj_drop_rate": 0.3}
SHAPE = Architecture("vit_tiny_patch16_224", TINY, None, CLASSES, 1, SIZE)
POINTS = ["blocks.1", "blocks.2"]
Loss = Callable[[list[Supervision]], Tensor]


def labels() -> Tensor:
    return torch.arange(IMAGES) % CLASSES


def entropy(points: list[Supervision]) -> Tensor:
    return F.cross_entropy(points[-1].head_logits(), labels())


def unlearning(points: list[Supervision]) -> Tensor:
    parts = [contrastive_unlearning(one.embedding[:4], one.embedding[4:], 0.3) for one in points]
    return torch.stack(parts).sum() + entropy([points[-1]])


def one_point(points: list[Supervision]) -> Tensor:
    return supcon(points[1].embedding, labels(), 0.2)  # what the others give has no gradient


@pytest.fixture
def network() -> SupervisedNetwork:
    torch.manual_seed(0)
    return SupervisedNetwork(build(SHAPE), POINTS, heads=True).train()


def gradients(module: nn.Module, network: nn.Module, loss: Loss, images: Tensor) -> tuple[float, dict[str, Tensor]]:
    """Return loss and gradients of a step; dropout draws from a seed."""
    network.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    value = loss(module(images))
    value.backward()
    if isinstance(module, InPieces):
        module.take_back()
    return value.item(), {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def without_dropout(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


@pytest.mark.parametrize("most", [1, 3, 5, 12])
@pytest.mark.parametrize("loss", [entropy, unlearning, one_point])
def test_the_gradients_are_those_of_the_whole_batch(network: SupervisedNetwork, loss: Loss, most: int) -> None:
    without_dropout(network)
    images = torch.randn(IMAGES, 1, SIZE, SIZE)
    whole, expected = gradients(InPrecision(network, ONE), network, loss, images)
    value, found = gradients(InPieces(InPrecision(network, ONE), most), network, loss, images)
    assert value == pytest.approx(whole, rel=1e-5)
    assert found.keys() == expected.keys()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_both_passes_drop_the_same(network: SupervisedNetwork) -> None:
    """The gradient is that of the loss whose value was returned: a step along it lowers it by its square."""
    images, module = torch.randn(IMAGES, 1, SIZE, SIZE), InPieces(InPrecision(network, ONE), 3)
    value, found = gradients(module, network, unlearning, images)
    square = sum(gradient.square().sum().item() for gradient in found.values())
    step = 1e-3 / square
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in found:
                parameter -= step * found[name]
    after, _ = gradients(module, network, unlearning, images)
    assert value - after == pytest.approx(1e-3, rel=0.1)


def test_the_generator_of_dropout_goes_on_as_after_one_pass(network: SupervisedNetwork) -> None:
    module, images = InPieces(InPrecision(network, ONE), 5), torch.randn(IMAGES, 1, SIZE, SIZE)
    gradients(module, network, entropy, images)
    after = torch.rand(3)
    torch.manual_seed(5)
    with torch.no_grad():
        for piece in images.tensor_split(3):
            network(piece)
    assert torch.equal(torch.rand(3), after)


def test_no_more_images_are_computed_at_once(network: SupervisedNetwork) -> None:
    seen: list[int] = []
    network.model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    module = InPieces(InPrecision(network, ONE), 5)
    gradients(module, network, unlearning, torch.randn(IMAGES, 1, SIZE, SIZE))
    assert seen == [5, 4, 4] * 2
    seen.clear()
    gradients(module, network, lambda points: points[-1].feature.sum(), torch.randn(5, 1, SIZE, SIZE))
    assert seen == [5], "a batch that fits is computed once"
    seen.clear()
    with torch.no_grad():
        whole = module(torch.randn(IMAGES, 1, SIZE, SIZE))
    assert seen == [5, 4, 4]
    assert whole[0].feature.shape == (IMAGES, 16)


def test_batch_statistics_are_those_of_each_piece_and_move_once() -> None:
    torch.manual_seed(0)
    images = torch.randn(IMAGES, 1, SIZE, SIZE)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 36, CLASSES))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    module = InPieces(InPrecision(model, ONE), 5)
    _, found = gradients(module, model, lambda logits: F.cross_entropy(logits, labels(), reduction="sum"), images)
    statistics = [buffer.clone() for buffer in model.buffers()]
    model.load_state_dict(start)
    model.zero_grad(set_to_none=True)
    for piece, own in zip(images.tensor_split(3), labels().tensor_split(3), strict=True):
        F.cross_entropy(model(piece), own, reduction="sum").backward()
    torch.testing.assert_close(found, {name: p.grad for name, p in model.named_parameters()})
    torch.testing.assert_close(statistics, list(model.buffers()))
    assert int(model[1].num_batches_tracked) == 3


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    "words", [["train.py", "original"], ["pretrain_ec.py"], ["unlearn.py", "cu"], ["shadow.py", "0"]], ids=str
)
def test_each_stage_that_trains_computes_as_many_images_at_once_as_the_parameter_says(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"epochs": 1}
    write_params(max_images_per_device=5, train=one, pretrain_ec=one, cu=one)
    seen: list[int] = []
    forward = InPrecision.forward

    def watch(self: InPrecision, images: Tensor) -> object:
        if self.network.training:
            seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(InPrecision, "forward", watch)
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(str(STAGE.parent / words[0]), run_name="stage")["main"]()
    assert max(seen) == 5
