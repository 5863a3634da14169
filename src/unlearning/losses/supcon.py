"""Supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362, Eq. 2, "L_out")."""

import torch
from torch import Tensor
from torch.nn import functional as F


def supcon(z: Tensor, labels: Tensor, tau: float) -> Tensor:
    """Return the mean over anchors of -1/|P_i| sum_{p in P_i} log( exp(s_ip) / sum_{a != i} exp(s_ia) ), s = z.z/tau.

    z (N, d) L2-normalised, all views stacked; labels (N,); P_i: the other samples with the label of i. An anchor
    without positives counts 0 and stays in the mean, as in the official code since December 2023. There is no
    tau/base_temperature factor: the loss is the formula's.
    """
    similarities = z.float() @ z.float().T / tau
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log_probability = F.log_softmax(similarities.masked_fill(itself, -torch.inf), dim=1)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    summed = log_probability.masked_fill(~positive, 0).sum(dim=1)
    return -(summed / positive.sum(dim=1).clamp(min=1)).mean()
