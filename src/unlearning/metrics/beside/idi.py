"""IDI, the Information Difference Index: what the features still know of the classes, between retrained and original.

Direction: nearer to 0 is better; `idi_abs` lower. Range: any real number, a ratio; idi_abs >= 0. Data: mutual
information (mutual_information.py) of a few layers under the model, the original and the retrained model. Source: Jeon
et al. (arXiv 2405.17878), EC B.6; the absolute form and the deviation over trials are ours. Expected: original 1,
retrained 0, exactly; below 0 = less than the retrained model knows.
"""

from dataclasses import dataclass
from statistics import mean, stdev

from unlearning.errors import InputError

UNSURE_GAP = 0.1  # of H(Y): training and held-out estimates of a layer further apart: critics memorise
UNSURE_STD = 0.1  # of the original's distance to the retrained model: the deviation of IDI itself

Information = dict[str, float]  # layer: I(Z; Y) in nats
Trials = dict[str, list[float]]  # layer: I(Z; Y) in nats, one value a trial: a deal into folds, or a critic seed


class Undefined(InputError):
    """IDI has no value: its denominator is below the floor. The message says what to change."""


@dataclass(frozen=True)
class IDIResult:
    """IDI of one model; ratios without unit."""

    idi: float  # signed: 1 = like the original, 0 = like the retrained model, below 0 = beyond it
    idi_abs: float  # the same with absolute differences per layer: opposite signs do not cancel
    std: float | None  # of `idi` over the trials, each by itself; None for one trial
    denominator: float  # ID(original), nats
    differences: Information  # per layer: I(model) - I(retrained), nats


def information_difference_index(model: Trials, original: Trials, retrained: Trials, floor: float) -> IDIResult:
    """Return ID(model) / ID(original), where ID sums I(Z_l) - I(Z_l of the retrained model) over the layers l.

    I is the mean over the trials. Raises Undefined when ID(original) is below `floor` nats: the original knows no more
    than the retrained model there, and the ratio would be noise.
    """
    own, first, gold = mean_of(model), mean_of(original), mean_of(retrained)
    denominator = difference_sum(first, gold)
    if denominator < floor:
        raise Undefined(
            f"IDI: the original model's features tell {denominator:.4f} nats more about the forget classes than the "
            f"retrained model's, summed over {', '.join(original)}; below idi.floor = {floor} the ratio is noise. "
            "Under mutual_information: measure other layers (layers), use more samples (max_samples), another critic "
            "(cross_fitted.critic; with estimator: info_nce more epochs), or leave IDI out with layers: []"
        )
    differences = {layer: own[layer] - gold[layer] for layer in gold}
    absolute = sum(abs(difference) for difference in differences.values())
    reference = sum(abs(first[layer] - gold[layer]) for layer in gold)
    spread = deviation(model, retrained)
    return IDIResult(
        sum(differences.values()) / denominator,
        absolute / reference,
        None if spread is None else spread / denominator,
        denominator,
        differences,
    )


def mean_of(trials: Trials) -> Information:
    """Return the mean over the trials, per layer."""
    return {layer: mean(values) for layer, values in trials.items()}


def deviation(model: Trials, retrained: Trials) -> float | None:
    """Return the standard deviation of ID(model) over the trials, in nats; None for fewer than two.

    A trial holds out the same samples in every model, so what it adds to both drops out.
    """
    trials = min(len(values) for values in model.values())
    if trials < 2:
        return None
    return stdev(difference_sum(_of_trial(model, trial), _of_trial(retrained, trial)) for trial in range(trials))


def doubts(held_out: Information, train: Information, entropy: float, std: float | None) -> list[str]:
    """Return why IDI is unsure, one sentence a reason; nothing where it can be read.

    held_out, train: nats per layer by both estimates; entropy: H(Y), nats; std: of IDI over the trials.
    """
    reasons = []
    if any(abs(held_out[layer] - train[layer]) > UNSURE_GAP * entropy for layer in held_out):
        reasons.append("IDI is unsure: held-out and training estimates differ by more than a tenth of H(Y)")
    if std is not None and std > UNSURE_STD:
        reasons.append(f"IDI is unsure: its standard deviation over the trials is {std:.2f}, more than {UNSURE_STD}")
    return reasons


def difference_sum(model: Information, retrained: Information) -> float:
    """Return ID: sum over the layers of I(model) - I(retrained), nats."""
    return sum(model[layer] - retrained[layer] for layer in retrained)


def _of_trial(trials: Trials, trial: int) -> Information:
    return {layer: values[trial] for layer, values in trials.items()}
