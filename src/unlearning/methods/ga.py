"""GA, gradient ascent on the forget set, with the two bounds without which it has none.

Golatkar et al. 2020; Thudi et al. 2022; official code Unlearn-Saliency/Classification, `unlearn/GA.py`. The loss -CE
has no lower bound, so here the gradient is clipped (`clip_norm`) and the run ends when the forget accuracy has come
down (`stop_at_forget_acc`); both are obligatory. The official code has neither. No retain image is used; BatchNorm
trains.
"""

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

from unlearning.bounds import Norm, Percent
from unlearning.counts import Counts
from unlearning.engine.run import Run
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    clip_norm: Norm
    stop_at_forget_acc: Percent

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("forget", self.batch_size)


SAMPLES = True  # the loss asks for no missing class


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield -CE(forget)."""
    network = run.optimise(run.model, cfg)
    for forget in run.batches("forget", cfg):
        yield -F.cross_entropy(network(forget.images), forget.labels)
