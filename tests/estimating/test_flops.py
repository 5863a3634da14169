import torch
from torch import nn

from unlearning.estimating.flops import count_flops


def test_a_product_of_matrices_is_two_for_each_multiplication() -> None:
    left, right = torch.zeros(3, 5), torch.zeros(5, 7)
    assert count_flops(lambda: left @ right) == 2 * 3 * 5 * 7


def test_those_of_a_depthwise_convolution_are_its_own_thrice() -> None:
    image = torch.zeros(1, 8, 4, 4, requires_grad=True)
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    forward = 2 * 9 * 8 * 16  # multiply and add, for each weight of each of the channels at each place
    assert count_flops(lambda: layer(image)) == forward
    assert count_flops(lambda: layer(image).sum().backward()) == 3 * forward


def test_what_asks_for_no_gradient_costs_none() -> None:
    image = torch.zeros(2, 3, 6, 6)
    layer = nn.Conv2d(3, 4, 3, stride=2, bias=False)
    forward = 2 * 2 * (9 * 3 * 4) * 4
    assert count_flops(lambda: layer(image).sum().backward()) == 2 * forward  # that of the weights alone


def test_a_transposed_convolution_counts_its_own_places() -> None:
    image = torch.zeros(1, 3, 5, 5, requires_grad=True)
    layer = nn.ConvTranspose2d(3, 4, 2, stride=2, bias=False)
    forward = count_flops(lambda: layer(image))
    assert count_flops(lambda: layer(image).sum().backward()) == 3 * forward > 0
