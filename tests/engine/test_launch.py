from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.conftest import SHAPE
from unlearning.engine.launch import Launch, launch, refuse_wrong_gradients
from unlearning.errors import InputError
from unlearning.losses.supcon import supcon
from unlearning.models.backbone import build
from unlearning.models.supervision import SupervisedNetwork

BF16 = Launch(torch.device("cpu"), rank=0, world=1, dtype=torch.bfloat16)


def test_precision_by_name() -> None:
    assert launch("fp32").dtype == torch.float32
    assert launch("bf16").dtype == torch.bfloat16
    assert launch("auto").dtype in (torch.float32, torch.bfloat16)
    assert (launch("fp32").precision, launch("bf16").precision) == ("fp32", "bf16")
    both = replace(launch("auto"), dtype=torch.bfloat16, fp32_modules=True)
    assert both.precision == "bf16, EC modules in fp32"


@pytest.mark.parametrize(("precision", "expected"), [("auto", True), ("bf16", False), ("fp32", False)])
def test_only_auto_takes_the_ec_modules_out_of_autocast_and_only_on_a_cpu(precision: str, expected: bool) -> None:
    where = launch(precision)
    assert where.fp32_modules == (expected and where.device.type == "cpu")


def test_autocast_computes_in_the_chosen_precision() -> None:
    x = torch.randn(4, 4)
    for precision in ("fp32", "bf16"):
        where = launch(precision)
        with where.autocast():
            assert (x.to(where.device) @ x.to(where.device)).dtype == where.dtype


def test_a_convolution_with_a_wrong_gradient_is_refused() -> None:
    with pytest.raises(InputError, match=r"0 is a strided 1x1 convolution of 4 channels"):
        refuse_wrong_gradients(nn.Sequential(nn.Conv2d(4, 8, 1, stride=2)))
    refuse_wrong_gradients(
        nn.Sequential(nn.Conv2d(8, 8, 1, stride=2), nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, stride=2))
    )


@pytest.mark.parametrize("channels", [8, 9, 16, 20])
def test_channels_last_gradients_of_strided_1x1_convolutions_are_right(channels: int) -> None:
    conv = nn.Conv2d(channels, 8, 1, stride=2, bias=False)
    x, upstream = torch.randn(4, channels, 8, 8), torch.randn(4, 8, 4, 4)
    weight = conv.weight.detach().double().requires_grad_()
    nn.functional.conv2d(x.double(), weight, stride=2).backward(upstream.double())
    conv.to(memory_format=torch.channels_last)
    conv(x.contiguous(memory_format=torch.channels_last)).backward(upstream)
    torch.testing.assert_close(conv.weight.grad.double(), weight.grad, rtol=1e-4, atol=1e-4)


class Watched(nn.Module):
    """A layer, with what was seen of the precision inside."""

    def __init__(self, output=lambda x: x) -> None:
        super().__init__()
        self.layer, self.output = nn.Linear(16, 16), output

    def forward(self, images):
        self.inner = self.layer(images)
        self.autocast_within = torch.is_autocast_enabled(images.device.type)
        return self.output(self.inner)


@pytest.mark.parametrize("call", [Launch.in_precision, Launch.distribute])
@pytest.mark.parametrize(("precision", "inner"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_network_computes_in_the_chosen_precision_and_answers_in_float32(call, precision: str, inner) -> None:
    where = launch(precision)
    network = Watched().to(where.device)
    output = call(where, network)(torch.randn(4, 16, device=where.device))
    assert network.inner.dtype == inner
    assert network.autocast_within == (precision == "bf16")
    assert output.dtype == torch.float32
    assert torch.equal(output, network.inner.float())


def test_what_comes_after_the_network_is_not_in_autocast() -> None:
    where = launch("bf16")
    network = Watched().to(where.device)
    output = where.in_precision(network)(torch.randn(4, 16, device=where.device))
    assert not torch.is_autocast_enabled(where.device.type)
    product = output @ output.T
    assert product.dtype == torch.float32
    product.sum().backward()
    assert network.layer.weight.grad.dtype == torch.float32


def test_an_exception_within_the_network_leaves_autocast_too() -> None:
    where = launch("bf16")

    def fail(_):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        where.in_precision(Watched(fail).to(where.device))(torch.randn(4, 16, device=where.device))
    assert not torch.is_autocast_enabled(where.device.type)


def test_what_is_no_tensor_leaves_as_it_is() -> None:
    where = launch("bf16")
    network = Watched(lambda inner: [inner, "more"]).to(where.device)
    first, second = where.in_precision(network)(torch.randn(4, 16, device=where.device))
    assert first is network.inner
    assert second == "more"


def test_supervision_points_of_a_bf16_network_are_float32_and_their_losses_exact() -> None:
    torch.manual_seed(0)
    model, inner = build(SHAPE), []
    model.layer4.register_forward_hook(lambda module, inputs, output: inner.append(output.dtype))  # noqa: ARG005
    network = BF16.distribute(SupervisedNetwork(model, ["layer1"], heads=True))
    points = network(torch.randn(16, 1, 8, 8))
    assert torch.bfloat16 in inner
    labels = torch.arange(16) % 4
    for point in points:
        assert point.feature.dtype == point.logits.dtype == torch.float32
        exact = supcon_in_float64(point.embedding, labels, 0.07)
        assert supcon(point.embedding, labels, 0.07).item() == pytest.approx(exact, abs=1e-4)
        with BF16.autocast():  # which would be noticed
            assert abs(supcon(point.embedding, labels, 0.07).item() - exact) > 1e-4


def supcon_in_float64(z, labels, tau: float) -> float:
    """The formula; each anchor has a positive."""
    s = z.detach().double() @ z.detach().double().T / tau
    itself = torch.eye(len(s), dtype=torch.bool)
    log_probability = s - s.masked_fill(itself, -torch.inf).exp().sum(dim=1, keepdim=True).log()
    positive = (labels[:, None] == labels) & ~itself
    return -torch.stack([row[own].mean() for row, own in zip(log_probability, positive, strict=True)]).mean().item()
