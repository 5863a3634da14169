"""Fine-tuning: cross-entropy on the retain set, nothing else; forgetting, where it comes, is by the way.

The baseline that every method must beat (`FT` of Unlearn-Saliency/Classification). BatchNorm trains.
"""

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

from unlearning.counts import Counts
from unlearning.engine.run import Run
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    """The recipe is all."""

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("retain", self.batch_size)


SAMPLES = True  # the loss asks for no missing class


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield CE(retain)."""
    network = run.optimise(run.model, cfg)
    for retain in run.batches("retain", cfg):
        yield F.cross_entropy(network(retain.images), retain.labels)
