"""Training towards random labels: what `rl` runs, and `salun` on some of the weights."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.counts import Counts
from unlearning.data.manifest import Part
from unlearning.engine.run import Run
from unlearning.params import UnlearnRecipe

FORGET_ALONE: tuple[Part, ...] = ("forget",)
BOTH: tuple[Part, ...] = ("forget", "retain")


class RandomLabelConfig(UnlearnRecipe):
    label_space: Literal["all", "retain"]  # classes the random labels come from
    exclude_true_label: bool

    @property
    def parts(self) -> tuple[Part, ...]:
        """What an epoch goes through, in this order."""
        raise NotImplementedError

    def steps(self, images: Counts) -> int:
        return self.epochs * sum(images.steps(part, self.batch_size) for part in self.parts)


def towards_random_labels(run: Run, cfg: RandomLabelConfig, network: nn.Module) -> Iterator[Tensor]:
    """Yield CE(forget, random labels) for each forget batch, then CE(retain, labels) for each retain batch."""
    classes = label_space(run, cfg)
    for epoch in run.epochs([sum(run.schedule.steps(part, cfg.batch_size) for part in cfg.parts)] * cfg.epochs):
        for forget in run.visit("forget", cfg.batch_size, cfg.augment, epoch):
            own = run.gather(forget.labels)  # of the global batch, for which labels are drawn whoever computes it
            labels = random_labels(len(own), classes, own if cfg.exclude_true_label else None, run.generator("labels"))
            yield F.cross_entropy(network(forget.images), run.share(labels).to(forget.labels.device))
        for retain in run.visit("retain", cfg.batch_size, cfg.augment, epoch) if "retain" in cfg.parts else ():
            yield F.cross_entropy(network(retain.images), retain.labels)


def label_space(run: Run, cfg: RandomLabelConfig) -> Tensor:
    """Return the classes random labels are drawn from, int64 (n,); never one that was erased before."""
    forbidden = run.manifest.absent_classes if cfg.label_space == "retain" else run.manifest.erased_before
    return torch.tensor([label for label in range(len(run.manifest.classes)) if label not in forbidden])


def random_labels(count: int, classes: Tensor, exclude: Tensor | None, generator: torch.Generator) -> Tensor:
    """Return `count` labels, int64, drawn uniformly from `classes`; never the sample's own in `exclude`, if given."""
    if exclude is None:
        return classes[torch.randint(len(classes), (count,), generator=generator)]
    allowed = (classes[None, :] != exclude.cpu()[:, None]).float()
    return classes[torch.multinomial(allowed, 1, generator=generator)[:, 0]]
