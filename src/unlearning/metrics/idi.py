"""IDI, the Information Difference Index (Jeon et al., arXiv 2405.17878): what features still know of the classes."""

from dataclasses import dataclass

from unlearning.errors import InputError

Information = dict[str, float]  # layer: I(Z; Y) in nats


@dataclass(frozen=True)
class IDIResult:
    """IDI of one model; ratios without unit."""

    idi: float  # signed: 1 = like the original, 0 = like the retrained model, below 0 = beyond it
    idi_abs: float  # the same with absolute differences per layer: opposite signs do not cancel
    differences: Information  # per layer: I(model) - I(retrained), nats


def relative_difference(model: Information, original: Information, retrained: Information, floor: float) -> IDIResult:
    """Return ID(model) / ID(original), where ID sums I(Z_l) - I(Z_l of the retrained model) over the layers l.

    Expected: original 1, retrained 0, exactly. Raises InputError when ID(original) is below `floor` nats: the original
    knows no more than the retrained model there, and the ratio would be noise.
    """
    denominator = difference_sum(original, retrained)
    if denominator < floor:
        raise InputError(
            f"IDI: the original model's features tell {denominator:.4f} nats more about the forget classes than the "
            f"retrained model's, summed over {', '.join(original)}; below idi.floor = {floor} the ratio is noise. "
            "Under mutual_information: measure deeper layers (layers), fit the critics longer (epochs, lr_features), "
            "use more samples (max_samples), or leave IDI out with layers: []"
        )
    differences = {layer: model[layer] - retrained[layer] for layer in retrained}
    absolute = sum(abs(difference) for difference in differences.values())
    reference = sum(abs(original[layer] - retrained[layer]) for layer in retrained)
    return IDIResult(sum(differences.values()) / denominator, absolute / reference, differences)


def difference_sum(model: Information, retrained: Information) -> float:
    """Return ID: sum over the layers of I(model) - I(retrained), nats."""
    return sum(model[layer] - retrained[layer] for layer in retrained)
