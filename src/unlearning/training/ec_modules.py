"""Pre-training the Conv blocks of the EC modules by SupCon on all of D, the backbone frozen (paper B.3)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from unlearning.engine.run import Run
from unlearning.losses.supcon import supcon
from unlearning.models.backbone import freeze
from unlearning.models.supervision import SupervisedNetwork
from unlearning.models.taps import stages
from unlearning.params import PretrainEC


def pretrain_ec_modules(run: Run, cfg: PretrainEC) -> Iterator[Tensor]:
    """Yield, for each batch of two views per image, the sum over the stages of SupCon on their embeddings.

    The modules share no weight, so the gradient of the sum is each module's own. The frozen backbone stays in eval
    mode: its batch statistics do not drift. There are no heads yet; unlearning gives the modules fresh ones.
    """
    points = [stage.module for stage in stages(run.model)[:-1]]
    freeze(run.model)
    supervised = SupervisedNetwork(run.model, points, run.modules, fp32_modules=run.launch.fp32_modules)
    network = run.optimise(supervised, cfg)
    run.model.eval()
    for epoch in run.epochs([run.schedule.steps("all", cfg.batch_size)] * cfg.epochs):
        for batch in run.visit("all", cfg.batch_size, cfg.augment, epoch, views=2):
            *early, _ = network(batch.images)
            labels = run.gather(batch.labels)
            yield torch.stack([supcon(run.gather(point.embedding), labels, cfg.tau) for point in early]).sum()
