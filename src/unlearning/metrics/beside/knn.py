"""k-NN transfer: how well the frozen features tell the classes of another data set apart.

Direction: the accuracy alone has none; its gap to the retrained model, `knn_gap`, should be small (H-Mean uses 100 -
gap). Range: 0..100 percent, the gap in points. Data: a downstream set of params.yaml (`downstream:`), fitted on its
training part, asked on its test part. Source: EC B.6, Kim et al. (UUEF): k = 5, cosine, uniform vote; UUEF's released
code runs on logits, `knn.features: logits` here. Expected: retrained a little below original; gap of retrained 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

QUERIES = 1024  # asked at once; bounds memory to QUERIES x training samples


def knn_predictions(
    features: Tensor, labels: Tensor, queries: Tensor, k: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the majority class, int64 (m,), of the k nearest samples by cosine; of equal votes the smallest class.

    features (n, d), labels int64 (n,) >= 0, queries (m, d). Computed by blocks of queries on the device. Raises
    ValueError for fewer than k samples.
    """
    if len(features) < k:
        raise ValueError(f"{k} neighbours cannot be found among {len(features)} samples")
    known, answers = F.normalize(features.to(device).float(), dim=1), labels.to(device)
    classes = int(labels.max()) + 1
    # Votes times the number of classes, less the class: the largest is unique, and a tie goes to the smallest class.
    tie_break = torch.arange(classes, device=device)
    predictions = []
    for block in queries.split(QUERIES):
        similarity = F.normalize(block.to(device).float(), dim=1) @ known.T
        neighbours = answers[similarity.topk(k, dim=1).indices]
        votes = torch.zeros(len(block), classes, dtype=torch.int64, device=device)
        votes.scatter_add_(1, neighbours, torch.ones_like(neighbours))
        predictions.append((votes * classes - tie_break).argmax(dim=1).cpu())
    return torch.cat(predictions)
