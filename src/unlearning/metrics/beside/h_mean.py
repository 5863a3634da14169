"""H-Mean: the paper's one number for a method.

Direction: higher is better by the paper; it rewards going past the retrained model, see `closeness.py`. Range: 0..100
percent. Data: the other numbers of metrics/models (9 scores with three downstream sets, 6 with none). Source: EC
Eq. 4-5. Expected: original 0 (its CKA score is 0), retrained in between (57.3 in the paper's Table 1).
"""

# Clip bound of 1 - |IDI|. With it 28 of the 30 rows of the paper's Tables 1, 5 and 6 come out within the rounding of
# their inputs; Table 5's SCRUB (64.12, recomputed 72.72) and EC (69.98, recomputed 64.90) do not follow from them.
IDI_FLOOR = 0.1


def h_mean(scores: dict[str, float]) -> float:
    """Return the harmonic mean of scores in percent; 0 when one of them is 0 or below (`vanishing` says which).

    Raises ValueError when there is no score.
    """
    if not scores:
        raise ValueError("H-Mean of no scores")
    if vanishing(scores):
        return 0.0
    return len(scores) / sum(1 / score for score in scores.values())


def normalised_scores(metrics: dict[str, float], knn_gaps: dict[str, float] | None = None) -> dict[str, float]:
    """Return the scores, percent, larger is better, of the metrics that exist (Eq. 5).

    metrics: keys of metrics/models/<model>.json; knn_gaps: {set: gap to the retrained model in points}.
    """
    rules = {
        "forget_acc": lambda value: 100 - value,
        "test_forget_acc": lambda value: 100 - value,
        "cka": lambda value: 100 - value,
        "retain_acc": lambda value: value,
        "test_retain_acc": lambda value: value,
        "idi": lambda value: 100 * min(max(1 - abs(value), IDI_FLOOR), 1),
    }
    scores = {name: rule(metrics[name]) for name, rule in rules.items() if name in metrics}
    gaps = {f"knn.{name}": 100 - abs(gap) for name, gap in (knn_gaps or {}).items()}
    return scores | gaps


def vanishing(scores: dict[str, float]) -> list[str]:
    """Return the names of the scores that are 0 or below and so make the harmonic mean 0."""
    return [name for name, score in scores.items() if score <= 0]
