"""Membership inference: can one tell images the original was trained on from images of the same classes it never saw?

Direction: 50 is best (a coin), above 50 the training images of the forgotten classes have left a trace. Range: 0..100
percent, area under the ROC curve, with a 95 % confidence interval. Data: logits of the training and the test images of
the forgotten classes, equally many. Source: Song and Mittal 2021 (the four statistics), SalUn's SVC-MIA (a trained
attacker; here cross-validated, and `modified entropy` by its right formula), DeLong et al. 1988 (the interval).
Expected: original above 50, retrained 50: it saw neither.
"""

import numpy as np
import torch
from torch import Tensor

from unlearning.metrics.alone.blocks import joined
from unlearning.metrics.alone.linear_probe import fit_probe
from unlearning.metrics.alone.roc import AUC, auc_and_variance, interval
from unlearning.seeds import derive_seed

FOLDS = 5
STATISTICS = ("confidence", "entropy", "modified_entropy", "loss")
JOINT = "all"  # the attack that sees the four statistics together
STEPS = 100  # L-BFGS iterations at most, scikit-learn's number


def membership_statistics(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return what an attacker looks at for each sample, float64 (n,): logits (n, classes), labels int64 (n,).

    confidence p_y; entropy -sum p log p; modified entropy -(1-p_y) log p_y - sum_{i != y} p_i log(1-p_i); loss -log
    p_y.
    """
    table = joined(len(labels), lambda rows: _statistics(logits[rows], labels[rows]))
    return dict(zip(STATISTICS, table.unbind(dim=1), strict=True))


def _statistics(logits: Tensor, labels: Tensor) -> Tensor:
    """Return a column for each of STATISTICS."""
    log_p = logits.double().log_softmax(dim=1)
    p = log_p.exp()
    own = labels[:, None]
    log_p_y = log_p.gather(1, own)[:, 0]
    log_rest = torch.log1p(-p.clamp(max=1 - torch.finfo(torch.float64).eps))  # log(1 - p_i)
    others = (p * log_rest).scatter(1, own, 0.0).sum(dim=1)
    entropy = -(p * log_p).nan_to_num().sum(dim=1)
    modified = -(1 - log_p_y.exp()) * log_p_y - others
    return torch.stack([log_p_y.exp(), entropy, modified, -log_p_y], dim=1)


def membership_inference(
    members: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor], seed: int
) -> dict[str, AUC] | None:
    """Return the AUC of an attacker by each statistic, and by all four ("all"), cross-validated.

    members and others: (logits, labels) of training and of test images; as many of each are used as the smaller has.
    None for fewer than 10 of one kind: nothing could be said.
    """
    count = min(len(members[1]), len(others[1]))
    if count < 2 * FOLDS:
        return None
    random = np.random.default_rng(derive_seed(seed, "membership"))
    sides = []
    for logits, labels in (members, others):
        chosen = torch.from_numpy(np.sort(random.choice(len(labels), count, replace=False)))
        statistics = membership_statistics(logits[chosen], labels[chosen])
        sides.append(np.stack([value.numpy() for value in statistics.values()], axis=1))
    inputs, is_member = np.concatenate(sides), np.repeat([1, 0], count)
    attacks = {name: inputs[:, [column]] for column, name in enumerate(statistics)} | {JOINT: inputs}
    return {name: attack(columns, is_member, seed) for name, columns in attacks.items()}


def attack(inputs: np.ndarray, is_member: np.ndarray, seed: int) -> AUC:
    """Return the AUC of a logistic classifier on samples it was not fitted on: inputs (n, features), is_member (n,).

    The classifier is scikit-learn's LogisticRegression (C = 1) on standardised inputs, written as a probe of two
    classes: the weights of both are penalised, so its l2 is twice 1 / (C n). The probe, because importing scikit-learn
    takes longer than all attacks together.

    The mean over the folds: scores of differently fitted classifiers cannot be ranked together. Its variance takes into
    account that the folds' classifiers share most of their samples (Nadeau and Bengio 2003).
    """
    areas, variances = [], []
    folds, samples, labels = stratified_folds(is_member, seed), torch.from_numpy(inputs), torch.from_numpy(is_member)
    for fold in range(FOLDS):
        held_out = folds == fold
        probe = fit_probe(samples[~held_out], labels[~held_out], 2, 2 / int((~held_out).sum()), STEPS)
        scores = probe.logits(samples[held_out]).diff(dim=1)[:, 0].numpy()
        member = is_member[held_out] == 1
        area, variance = auc_and_variance(scores[member], scores[~member])
        areas.append(area)
        variances.append(variance)
    return interval(float(np.mean(areas)), float(np.mean(variances)) * (1 / FOLDS + 1 / (FOLDS - 1)))


def stratified_folds(is_member: np.ndarray, seed: int) -> np.ndarray:
    """Return which fold holds out each sample, int64 (n,): members and others are both dealt out evenly, at random."""
    random = np.random.default_rng(derive_seed(seed, "folds"))
    folds = np.empty(len(is_member), dtype=np.int64)
    for kind in (0, 1):
        samples = random.permutation(np.flatnonzero(is_member == kind))
        folds[samples] = np.arange(len(samples)) % FOLDS
    return folds
