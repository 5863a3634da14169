"""Control: the original's backbone as it is, under a new head fitted on the retain set alone.

Not a method to use. The backbone, BatchNorm included, is bit-identical to the original's, while the head never sees a
forgotten image: unlike `head_distill`, not even the answers hold a trace of the classes. Accuracies, divergence and
whatever else asks the head look like the retrained model's: a score that does not expose this row measures the head.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.counts import Counts
from unlearning.engine.run import Run
from unlearning.models.backbone import classifier_of, freeze
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    """The recipe is all."""

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("retain", self.batch_size)


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield CE(retain) of a head that starts at zero, where its first answers are uniform."""
    head = classifier_of(freeze(run.model)).requires_grad_(True)
    clear(head)
    network = run.optimise(run.model, cfg)
    run.model.eval()
    for retain in run.batches("retain", cfg):
        yield F.cross_entropy(network(retain.images), retain.labels)


@torch.no_grad()
def clear(head: nn.Module) -> None:
    """Set every weight of the head to zero, in place: the fit is convex, so nothing needs to be drawn."""
    for parameter in head.parameters():
        parameter.zero_()
