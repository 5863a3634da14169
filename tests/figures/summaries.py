"""Summaries by hand: what `compare` finds of a model, from the numbers of each seed."""

from typing import Any

from tests.conftest import changed
from unlearning.comparison.model import Result
from unlearning.over_seeds import Summary, summarise

DETAILS: dict[str, Any] = {
    "js_divergence": 0.25,
    "collapsed": False,
    "judged": {"forget": 1.0, "retain": 96.0},
    "notes": [],
    "cka_layers": {"layer4": 60.0, "penultimate": 50.0},
    "cka_retrained": {"layer4": 99.0, "penultimate": 70.0},
    "linear_probe": {"all": {"forget": 60.0}, "small": {"forget": 30.0}, "gap": 2.0},
    "head_recovery": {"forget": 50.0, "gap": -4.0},
    "prototype": {"forget": {"1": 20.0, "20": 80.0}, "gap": {"1": 0.0, "20": 0.0}},
    "relearn": {"forget": {"1": 10.0, "20": 70.0}, "gap": {"1": 0.0, "20": 0.0}},
    "retain_only": {"forget": 1.5, "retain": 90.0, "gap": 1.5},
    "batchnorm": {"forget": 2.5, "retain": 90.0, "gap": 2.5},
    "validation": {"validation_forget_acc": 3.25, "validation_retain_acc": 91.0},
    "predictors": {"weight_distance": 0.123, "loss_barrier": -0.011},
    "membership": {"all": {"auc": 55.5, "low": 49.7, "high": 61.2}},
    "collapse": {"forget": {"effective_rank": 12.34}},
    "calibration_error": 2.0,
    "test_acc_per_class": [90.0, 80.0],
    "cost": {"seconds": 1.25, "steps": 40, "samples": 5120, "device": "CPU"},
}
METRICS: dict[str, Any] = {
    "forget_acc": 0.5,
    "retain_acc": 98.0,
    "test_forget_acc": 1.0,
    "test_retain_acc": 96.0,
    "cka": 50.0,
    "idi": 0.25,
    "idi_abs": 0.25,
    "h_mean": 70.0,
    "retrain_gap": 4.0,
    "seconds": 1.25,
}


def summary(seeds: int = 3, **by_key: Any) -> Summary:
    """Return what `seeds` repetitions say; each keyword is a value for all of them, or a list with one a seed.

    A keyword of METRICS is a metric; others are details, with __ for the dots between keys.
    """
    results = {}
    for seed in range(seeds):
        own = {key.replace("__", "."): v[seed] if isinstance(v, list) else v for key, v in by_key.items()}
        metrics = {key: value for key, value in own.items() if key in METRICS or key.startswith("knn")}
        details = {key: value for key, value in own.items() if key not in metrics}
        results[seed] = Result(changed(METRICS, metrics), changed(DETAILS, details))
    one = summarise(results, {})
    one.details["worst_retain_classes"] = {"cat": 12.4, "dog": 3.0}
    return one
