"""A made-up comparison: models of which it is known by construction what is left in them."""

from typing import Any

from tests.figures.summaries import summary
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER

Numbers = dict[str, Any]
SEES_ALL: Numbers = {  # the original: the erased classes are known, and all measures see it
    "forget_acc": 99.5,
    "test_forget_acc": 98.0,
    "retain_acc": 99.9,
    "test_retain_acc": 97.0,
    "cka_layers__penultimate": 100.0,
    "idi": 1.0,
    "idi_abs": 1.0,
    "linear_probe__all__forget": 99.0,
    "linear_probe__gap": 29.0,
    "head_recovery__forget": 100.0,
    "head_recovery__gap": 60.0,
    "prototype__forget": {"1": 99.0, "20": 100.0},
    "relearn__forget": {"1": 99.0, "20": 100.0},
    "retain_only__forget": 97.0,
    "batchnorm__forget": 96.0,
    "retrain_gap": 40.0,
    "js_divergence": 0.9,
    "cka_retrained__penultimate": 70.0,
}
NEVER_SAW: Numbers = {  # the retrained model, a value a seed
    "forget_acc": 0.0,
    "test_forget_acc": 0.0,
    "test_retain_acc": [96.5, 97.0, 97.5],
    "cka_layers__penultimate": [70.0, 72.0, 74.0],
    "idi": 0.0,
    "idi_abs": 0.0,
    "linear_probe__all__forget": [69.0, 70.0, 71.0],
    "linear_probe__gap": 0.0,
    "head_recovery__forget": [39.0, 40.0, 41.0],
    "head_recovery__gap": 0.0,
    "prototype__forget": [{"1": 50.0, "20": 70.0}, {"1": 52.0, "20": 72.0}, {"1": 54.0, "20": 74.0}],
    "relearn__forget": [{"1": 50.0, "20": 80.0}, {"1": 52.0, "20": 81.0}, {"1": 54.0, "20": 82.0}],
    "retain_only__forget": 0.0,
    "batchnorm__forget": 0.0,
    "retrain_gap": 0.0,
    "js_divergence": 0.0,
    "cka_retrained__penultimate": 100.0,
}
NOISE: Numbers = {  # what another retrained model adds to what the retrained one has
    "idi": [0.1, -0.2, 0.1],
    "idi_abs": 0.2,
    "linear_probe__gap": 1.5,
    "head_recovery__gap": 1.5,
    "retrain_gap": 1.0,
    "js_divergence": 0.05,
    "cka_retrained__penultimate": 95.0,
}
HEAD_ONLY: Numbers = SEES_ALL | {  # another head on the original's features
    "forget_acc": 0.0,
    "test_forget_acc": 0.0,
    "retain_only__forget": 0.0,
    "batchnorm__forget": 0.0,
    "retrain_gap": 8.0,
    "js_divergence": 0.2,
}
DEEP: Numbers = NEVER_SAW | {"retrain_gap": 4.0, "test_retain_acc": 94.0}  # forgotten, at three points of utility


def next_seeds(numbers: Numbers) -> Numbers:
    """Return the numbers with each seed's value at the place of the seed before."""
    return {key: value[1:] + value[:1] if isinstance(value, list) else value for key, value in numbers.items()}


def made_up(seeds: int = 3, retrained: bool = True, **methods: Numbers) -> dict[str, Summary]:
    """Return the references, the noise floor where there are several seeds, head_distill, and the methods."""
    models = {"original": summary(seeds, **SEES_ALL)}
    if retrained:
        models["retrained"] = summary(seeds, **NEVER_SAW)
    if retrained and seeds > 1:
        models[ANOTHER] = summary(seeds, **next_seeds(NEVER_SAW) | NOISE)
    methods = methods | {"head_distill": HEAD_ONLY}
    return models | {name: summary(seeds, **numbers) for name, numbers in methods.items()}
