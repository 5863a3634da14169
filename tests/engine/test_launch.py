import pytest
import torch
from torch import nn

from unlearning.engine.launch import launch, refuse_wrong_gradients
from unlearning.errors import InputError


def test_precision_by_name() -> None:
    assert launch("fp32").dtype == torch.float32
    assert launch("bf16").dtype == torch.bfloat16
    assert launch("auto").dtype in (torch.float32, torch.bfloat16)


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
