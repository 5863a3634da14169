"""k-NN transfer: how well the frozen features tell the classes of another data set apart.

Direction: the accuracy alone has none; its gap to the retrained model, `knn_gap`, should be small (H-Mean uses 100 -
gap). Range: 0..100 percent, the gap in points. Data: a downstream set of params.yaml (`downstream:`), fitted on its
training part, asked on its test part. Source: EC B.6, Kim et al. (UUEF): k = 5, cosine, uniform vote; UUEF's released
code runs on logits, `knn.features: logits` here. Expected: retrained a little below original; gap of retrained 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

QUERIES = 1024  # asked at once
KNOWN = 16384  # samples that they are compared with at once: memory does not grow with the set


def knn_predictions(
    features: Tensor, labels: Tensor, queries: Tensor, k: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the majority class, int64 (m,), of the k nearest samples by cosine; of equal votes the smallest class.

    features (n, d), labels int64 (n,) >= 0, queries (m, d). Computed by blocks of both on the device, exactly: every
    sample is looked at. Raises ValueError for fewer than k samples.
    """
    if len(features) < k:
        raise ValueError(f"{k} neighbours cannot be found among {len(features)} samples")
    classes = int(labels.max()) + 1
    # Votes times the number of classes, less the class: the largest is unique, and a tie goes to the smallest class.
    tie_break = torch.arange(classes, device=device)
    votes = torch.zeros(len(queries), classes, dtype=torch.int64, device=device)
    neighbours = nearest_labels(features, labels, queries, k, device)
    votes.scatter_add_(1, neighbours, torch.ones_like(neighbours))
    return (votes * classes - tie_break).argmax(dim=1).cpu()


def nearest_labels(
    features: Tensor, labels: Tensor, queries: Tensor, k: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the classes, int64 (m, k), of the k nearest samples of each query, as above."""
    best = torch.full((len(queries), 0), 0.0, device=device)
    answers = torch.empty(len(queries), 0, dtype=torch.int64, device=device)
    for known, classes in zip(features.split(KNOWN), labels.split(KNOWN), strict=True):
        known, classes = F.normalize(known.to(device).float(), dim=1), classes.to(device)
        found = [_nearest(known, classes, block, k, device) for block in queries.split(QUERIES)]
        best = torch.cat([best, torch.cat([similarity for similarity, _ in found])], dim=1)
        answers = torch.cat([answers, torch.cat([own for _, own in found])], dim=1)
        best, places = best.topk(min(k, best.shape[1]), dim=1)
        answers = answers.gather(1, places)
    return answers


def _nearest(
    known: Tensor, classes: Tensor, queries: Tensor, k: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    similarity = F.normalize(queries.to(device).float(), dim=1) @ known.T
    best, places = similarity.topk(min(k, len(known)), dim=1)
    return best, classes[places]
