"""Training the original model on all classes and the retrained model on the retained ones, by one recipe."""

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

from unlearning.data.manifest import Part
from unlearning.engine.run import Run
from unlearning.params import Train

PARTS: dict[str, Part] = {"original": "all", "retrained": "retain"}


def train_classifier(run: Run, cfg: Train, part: Part) -> Iterator[Tensor]:
    """Yield the cross-entropy of each batch of `part` of the training split."""
    network = run.optimise(run.model, cfg)
    for batch in run.batches(part, cfg):
        logits = network(batch.images)
        run.log(train_acc=100 * (logits.argmax(dim=1) == batch.labels).float().mean())
        yield F.cross_entropy(logits.float(), batch.labels, label_smoothing=cfg.label_smoothing)
