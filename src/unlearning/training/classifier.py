"""Training the original model on all classes and the retrained model on the retained ones, by one recipe.

The short run is a retraining for a share of the epochs: a floor of what attacks give back, for who does not retrain.
"""

from collections.abc import Callable, Iterator

from torch import Tensor
from torch.nn import functional as F

from unlearning.data.manifest import Part
from unlearning.engine.run import Run
from unlearning.params import Params, Train

PARTS: dict[str, Part] = {"original": "all", "retrained": "retain", "short_run": "retain"}
RECIPES: dict[str, Callable[[Params], Train]] = {
    "original": lambda params: params.train,
    "retrained": lambda params: params.train,
    "short_run": lambda params: shortened(params.train, params.short_run.share),
}


def shortened(cfg: Train, share: float) -> Train:
    """Return the recipe for a share (0, 1) of its epochs, one at least; milestones move along."""
    milestones = sorted({max(1, round(share * epoch)) for epoch in cfg.milestones})
    return cfg.model_copy(update={"epochs": max(1, round(share * cfg.epochs)), "milestones": milestones})


def train_classifier(run: Run, cfg: Train, part: Part) -> Iterator[Tensor]:
    """Yield the cross-entropy of each batch of `part` of the training split."""
    network = run.optimise(run.model, cfg)
    for batch in run.batches(part, cfg):
        logits = network(batch.images)
        run.log(train_acc=100 * (logits.argmax(dim=1) == batch.labels).float().mean())
        yield F.cross_entropy(logits.float(), batch.labels, label_smoothing=cfg.label_smoothing)
