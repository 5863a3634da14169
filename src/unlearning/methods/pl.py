"""PL, pseudo-labelling: each forget image is taught the retained class that the original model likes best.

Chen et al., "Unlearning via Null Space Calibration", IJCAI 2024, official code (UNSC, notebooks): its first half, which
is also what the EC paper calls PL; `unsc` is the whole. The logits of *all* forget classes are masked, and the label is
taken anew from the same augmented view the student sees. Forget images only; the teacher is in eval mode, the student's
BatchNorm trains (UUEF).
"""

from collections.abc import Iterator

from torch import Tensor

from unlearning.counts import Counts
from unlearning.engine.run import Run
from unlearning.methods.families.pseudo_labels import towards_pseudo_labels
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    """The recipe is all."""

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("forget", self.batch_size)


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield CE(forget, pseudo-label)."""
    teacher = run.teacher()
    network = run.optimise(run.model, cfg)
    return towards_pseudo_labels(run, cfg, network, teacher)
