"""Relearning: fine-tune a copy of the model on a few images of each forgotten class, as a strong attacker would.

Direction: lower is deeper, but the retrained model learns them from the same few images too: what counts is the curve
above its. Range: 0..100 percent. Data: k training images of each forgotten class and as many retained ones in all;
asked on the test images. Source: relearning attacks as in Tarun et al. 2021 and Golatkar et al. 2020 (relearn time);
the choice of start and learning rate is ours: the strongest on the test images themselves, so a bound with hindsight,
for every model alike. Expected: original near its own accuracy at any k, with or without its own rows of the forgotten
classes; retrained clearly below for few images and rising with k.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from unlearning.data.samples import kept_sample
from unlearning.evaluation.attacks import Outcome, Target, curves, drawn_means, few_shots, numbers_of_images
from unlearning.evaluation.fine_tuning import fine_tune, with_head
from unlearning.metrics.alone.linear_probe import fit_probe
from unlearning.metrics.alone.prototype import Head, imprinted
from unlearning.params import Attacks, LinearProbe, Prototype, Relearn

AS_IS, IMPRINTED, FRESH = "as is", "imprinted", "fresh head"
Start = Callable[[Tensor], Head]  # from the mean features of the drawn images to the head that training begins with


@dataclass(frozen=True)
class Choice:
    """What the attacker does for one number of images."""

    start: str
    lr: float | None  # None: nothing trained was better and left the model working


@dataclass(frozen=True)
class Attacker:
    """Who attacks: on what, from which starts, by which recipe."""

    victim: Target
    starts: dict[str, Start]
    seed: int  # of the drawn images and their order
    cfg: Relearn

    def attack(self, choice: Choice, shots: int, draw: int) -> Outcome:
        """Return the outcome of one attack on a copy of the model; without a rate nothing is trained."""
        victim = self.victim
        places = few_shots(victim.labels, victim.manifest, shots, self.seed, draw)
        head = self.starts[choice.start](drawn_means(victim, places))
        if choice.lr is None:
            return victim.outcome_of_head(head)
        student, images = with_head(victim.model, head), victim.positions[places].numpy()
        fine_tune(student, victim.train, images, choice.lr, self.cfg, victim.launch, self.seed, "relearn", draw)
        return victim.outcome(student)

    def choose(self, shots: int) -> tuple[Choice, Outcome]:
        """Return the strongest choice on the first draw, and its outcome: the best start, then the best rate from it.

        The best start is the best before any step; a rate that is no better than not to train is not chosen.
        """
        least = self.cfg.survives * self.victim.outcome_of_head(self.victim.head).retain
        outcomes = {choice: self.attack(choice, shots, 0) for choice in [Choice(start, None) for start in self.starts]}
        start = strongest(outcomes, least).start
        outcomes |= {choice: self.attack(choice, shots, 0) for choice in [Choice(start, lr) for lr in self.cfg.lrs]}
        chosen = strongest(outcomes, least)
        return chosen, outcomes[chosen]


def strongest(outcomes: Mapping[Choice, Outcome], least: float) -> Choice:
    """Return the choice that gives back most of those that leave a retain accuracy of `least`; the first of equals."""
    working = {choice: outcome.forget or 0.0 for choice, outcome in outcomes.items() if outcome.retain >= least}
    return max(working, key=lambda choice: working[choice])


def relearning_curves(
    victim: Target, attacks: Attacks, cfg: Relearn, prototype: Prototype, probe: LinearProbe
) -> dict[str, Any]:
    """Return what fine-tuning gives back for each number of images, and under "chosen" what the attacker did for each.

    Chosen is what has the highest test forget accuracy on the first draw and leaves the share `cfg.survives` of the
    model's retain accuracy; the other draws repeat it.
    """
    shots_tried = numbers_of_images(victim, attacks)
    attacker = Attacker(victim, starts_of(victim, cfg, prototype, probe) if shots_tried else {}, attacks.seed, cfg)
    outcomes, choices = {}, {}
    for shots in shots_tried:
        choices[shots], first = attacker.choose(shots)
        others = [attacker.attack(choices[shots], shots, draw) for draw in range(1, cfg.draws)]
        outcomes[shots] = [first, *others]
    return {**curves(outcomes), "chosen": {shots: asdict(choice) for shots, choice in choices.items()}}


def starts_of(victim: Target, cfg: Relearn, prototype: Prototype, probe: LinearProbe) -> dict[str, Start]:
    """Return the starts by name: the model's own head, and imprinted rows beside its own or beside fresh ones."""
    own, fresh = victim.ground(victim.head), victim.ground(fresh_head(victim, cfg, probe))
    return {
        AS_IS: lambda _: victim.head,
        IMPRINTED: lambda means: imprinted(own, means, prototype.false_alarms),
        FRESH: lambda means: imprinted(fresh, means, prototype.false_alarms),
    }


def fresh_head(victim: Target, cfg: Relearn, probe: LinearProbe) -> Head:
    """Return a head fitted on features of at most `cfg.head_samples` retained training images."""
    retained = (~torch.isin(victim.labels, torch.tensor(victim.manifest.forget_classes))).nonzero()[:, 0]
    some = retained[torch.from_numpy(kept_sample(len(retained), cfg.head_samples, 0))]
    features, labels, classes = victim.features[some], victim.labels[some], len(victim.manifest.classes)
    fitted = fit_probe(features, labels, classes, probe.l2, probe.steps, victim.launch.device)
    weight = (fitted.weight * fitted.scale).cpu()
    return Head(weight, fitted.bias.cpu() - weight @ fitted.mean.cpu())
