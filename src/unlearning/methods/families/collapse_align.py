"""Collapse the retained classes, then align the classifier: what `cola` and `cola_ec` run.

Jeon et al., "COLA" (arXiv 2405.17878); no code is public, so this follows the descriptions of it: supervised
contrastive learning of the encoder on the retain set alone draws each retained class together, and what was not drawn,
the forget classes, loses its place; then cross-entropy on the retain set. Chosen here: SupCon on the L2-normalised
pooled feature without a projection head; two views of each image, so that every anchor has a positive however many
classes there are; the classifiers are frozen while the features collapse.
"""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from unlearning.bounds import Epochs, Temperature
from unlearning.counts import Counts
from unlearning.engine.run import Run
from unlearning.losses.deep_supervision import cross_entropies, weighted_sum
from unlearning.losses.supcon import supcon
from unlearning.methods.families.points import Points
from unlearning.models.backbone import classifier_of
from unlearning.params import UnlearnRecipe


class CollapseAlignConfig(UnlearnRecipe):
    collapse_epochs: Epochs  # passes over the retain set before the `epochs` of alignment
    tau: Temperature
    views: Literal[1, 2]  # of each image in a batch of the collapse

    def steps(self, images: Counts) -> int:
        return (self.collapse_epochs + self.epochs) * images.steps("retain", self.batch_size)


def collapse_and_align(run: Run, cfg: CollapseAlignConfig, points: Points) -> Iterator[Tensor]:
    """Yield sum_l w_l SupCon(z_r^l) for the collapse, then sum_l w_l CE^l(retain) for the alignment."""
    yield from collapse(run, cfg, points)
    points.network.attached.requires_grad_(len(points.network.heads) > 0)  # without heads they are in no loss
    network = run.optimise(points.network, cfg)
    for batch in run.batches("retain", cfg):
        yield weighted_sum(cross_entropies(network(batch.images), batch.labels), points.weights)


def collapse(run: Run, cfg: CollapseAlignConfig, points: Points) -> Iterator[Tensor]:
    """Yield the supervised contrastive loss at each point; the classifiers stay as they are."""
    recipe = cfg.model_copy(update={"epochs": cfg.collapse_epochs, "stop_at_forget_acc": None})
    classifiers = (classifier_of(run.model), points.network.heads)
    for classifier in classifiers:
        classifier.requires_grad_(False)
    network = run.optimise(points.network, recipe)
    for epoch in run.epochs([run.schedule.steps("retain", cfg.batch_size)] * recipe.epochs):
        for batch in run.visit("retain", cfg.batch_size, cfg.augment, epoch, cfg.views):
            labels = run.gather(batch.labels)
            z = [run.gather(point.embedding) for point in network(batch.images)]
            yield weighted_sum([supcon(embedding, labels, cfg.tau) for embedding in z], points.weights)
    for classifier in classifiers:
        classifier.requires_grad_(True)
