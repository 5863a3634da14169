"""RL, random labelling: forget images are trained towards random classes, retain images towards their own.

Golatkar et al. 2020; schedule of the SalUn authors' official code (Unlearn-Saliency/Classification, CIFAR-10 branch):
each epoch is one pass over the forget set with fresh random labels every batch, then one pass over the retain set.
BatchNorm trains. The EC paper's RL is `retain_pass: false`, `label_space: all`, `exclude_true_label: false`, which is
what makes it collapse there.
"""

from collections.abc import Iterator

from torch import Tensor

from unlearning.data.manifest import Part
from unlearning.engine.run import Run
from unlearning.methods.families.random_labels import BOTH, FORGET_ALONE, RandomLabelConfig, towards_random_labels


class Config(RandomLabelConfig):
    retain_pass: bool

    @property
    def parts(self) -> tuple[Part, ...]:
        return BOTH if self.retain_pass else FORGET_ALONE


SAMPLES = True  # the loss asks for no missing class


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield CE(forget, random labels) for each forget batch, then CE(retain, labels) for each retain batch."""
    return towards_random_labels(run, cfg, run.optimise(run.model, cfg))
