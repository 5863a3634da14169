"""Distance of the weights to the original model's: how far from it unlearning went.

Direction: a predictor of resistance to relearning, not a goal: larger went with less coming back, but noise on the
weights is large too. Range: 0 (the original itself) upwards, no unit; 1 = as long as the original's weight vector.
Data: all weights and biases of the model and of the original, batch statistics left out. Source: Siddiqui et al. 2025
(arXiv 2505.22310) and its code (absolute there; relative here, so that models of different size can be compared).
Expected: original 0, retrained far above methods that start from the original.
"""

from collections.abc import Mapping

from torch import Tensor


def weight_distance(weights: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> float:
    """Return ||theta - theta_o|| / ||theta_o|| over all parameters: {name: parameter} of both, same names and shapes.

    Raises ValueError where they differ in a name or a shape, or where the original's weights are all 0.
    """
    if {name: value.shape for name, value in weights.items()} != {name: v.shape for name, v in original.items()}:
        raise ValueError("a distance of weights needs two models of one architecture")
    pairs = [(value.detach().double(), original[name].detach().double()) for name, value in weights.items()]
    moved = sum((own - first.to(own.device)).square().sum().item() for own, first in pairs)
    length = sum(first.square().sum().item() for _, first in pairs)
    if length == 0:
        raise ValueError("a relative distance needs an original with a weight that is not 0")
    return (moved / length) ** 0.5
