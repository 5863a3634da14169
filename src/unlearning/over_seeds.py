"""What the repetitions say together: means, deviations, and which differences between methods are more than luck."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from unlearning.comparison.model import Metrics, Result
from unlearning.data.manifest import Manifest
from unlearning.params import ANOTHER, CONTROLS, REFERENCES

WORST = 10  # retain classes named in the report
LEVEL = 0.05  # two-sided, of the paired t-test
FORGETS, KEEPS = 1.0, 5.0  # percent FA at most; points of TRA below the retrained model at most: who can be best


@dataclass(frozen=True)
class Summary:
    """One model over all seeds."""

    metrics: Metrics  # means: metrics/models/<model>.json
    spread: Metrics  # sample standard deviations under the same keys: metrics/spread/<model>.json; empty for one seed
    details: dict[str, Any]  # metrics/details/<model>.json: mean, std, and each seed

    @property
    def mean(self) -> dict[str, Any]:
        """Return the means of the details."""
        mean: dict[str, Any] = self.details["mean"]
        return mean

    @property
    def by_samples(self) -> bool:
        """Return whether samples were to be forgotten, and not classes: then a low FA is no aim."""
        return bool(self.mean.get("by_samples"))

    @property
    def std(self) -> dict[str, Any]:
        """Return the standard deviations of the details; empty for one seed."""
        std: dict[str, Any] = self.details["std"]
        return std


def summarise(results: dict[int, Result], undefined: dict[str, str]) -> Summary:
    """Return what {seed: result} say together; undefined: {number that is left out: why}."""
    metrics = [one.metrics for one in results.values()]
    details = [{key: value for key, value in one.details.items() if key != "notes"} for one in results.values()]
    notes = {seed: one.details["notes"] for seed, one in results.items()}
    several = len(results) > 1
    return Summary(
        mean_of(metrics),
        deviation_of(metrics) if several else {},
        {
            "mean": mean_of(details),
            "std": deviation_of(details) if several else {},
            "seeds": {str(seed): {"metrics": one.metrics, **one.details} for seed, one in results.items()},
            "notes": [*undefined.values(), *(f"seed {seed}: {note}" for seed, own in notes.items() for note in own)],
        },
    )


def mean_of(trees: list[Any]) -> Any:
    """Return the mean over equally formed trees of numbers, by leaf; dictionaries keep the keys that all have.

    Of truth values the mean is whether any holds; of other leaves (text, None) the value where all agree, else None.
    """
    return _by_leaf(trees, _mean)


def deviation_of(trees: list[Any]) -> Any:
    """Return the sample standard deviation over two or more equally formed trees, by leaf; None where it has none."""
    return _by_leaf(trees, lambda leaves: stdev(leaves) if all(map(_is_number, leaves)) else None)


def flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics with one level of keys: {"knn": {"birds": 50.0}} becomes {"knn.birds": 50.0}."""
    found: dict[str, Any] = {}
    for key, value in metrics.items():
        found |= {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, Mapping) else {key: value}
    return found


def _by_leaf(trees: list[Any], fold: Callable[[list[Any]], Any]) -> Any:
    first = trees[0]
    if all(isinstance(tree, dict) for tree in trees):
        common = [key for key in first if all(key in tree for tree in trees)]
        return {key: _by_leaf([tree[key] for tree in trees], fold) for key in common}
    if all(isinstance(tree, list) and len(tree) == len(first) for tree in trees):
        return [_by_leaf(list(leaves), fold) for leaves in zip(*trees, strict=True)]
    return fold(trees)


def _mean(leaves: list[Any]) -> Any:
    if all(isinstance(leaf, bool) for leaf in leaves):
        return any(leaves)
    if all(map(_is_number, leaves)):
        return mean(leaves)
    return leaves[0] if all(leaf == leaves[0] for leaf in leaves) else None


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, int | float) and not isinstance(leaf, bool)


def differ(first: list[float], second: list[float]) -> bool:
    """Return whether the paired differences over the seeds have a mean other than 0, by a two-sided t-test at 5 %.

    first, second: a value a seed, in the same order, two or more. Equal values never differ.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    if all(difference == 0 for difference in differences):
        return False
    if stdev(differences) == 0:
        return True
    from scipy.stats import ttest_1samp  # here, as only the comparison needs it

    return bool(ttest_1samp(differences, 0.0).pvalue < LEVEL)


def gold_of(summaries: Mapping[str, Summary]) -> str:
    """Return the model whose utility the others should keep: the retrained one, or the original where there is none."""
    return "retrained" if "retrained" in summaries else "original"


def competitors(summaries: dict[str, Summary], methods: list[str]) -> list[str]:
    """Return which of the methods forget (FA) and keep utility beside the retrained, or the original, model.

    Where samples are forgotten, FA is nothing that has to be low, and utility alone decides.
    """
    utility, gold = utility_of(summaries), summaries[gold_of(summaries)].metrics
    return [
        name
        for name in methods
        if (summaries[name].by_samples or summaries[name].metrics.get("forget_acc", 100.0) <= FORGETS)
        and summaries[name].metrics[utility] >= gold[utility] - KEEPS
    ]


def able_methods(summaries: Mapping[str, Summary]) -> list[str]:
    """Return the competitors among all rows that are methods: neither references nor controls."""
    rows = [name for name in summaries if name not in (*REFERENCES, ANOTHER, *CONTROLS)]
    return competitors(dict(summaries), rows)


def utility_of(summaries: Mapping[str, Summary]) -> str:
    """Return the accuracy that utility is told by: TRA, or RA where no test image is unseen."""
    return "test_retain_acc" if "test_retain_acc" in summaries[gold_of(summaries)].metrics else "retain_acc"


def best_of(values: dict[str, list[float]]) -> list[str]:
    """Return the row with the smallest mean and those whose paired difference to it cannot be told from 0.

    values: {row: a value a seed}, smaller is better; several seeds.
    """
    if not values:
        return []
    winner = min(values, key=lambda name: mean(values[name]))
    return [name for name in values if not differ(values[name], values[winner])]


def worst_hurt(own: Summary, original: Summary, manifest: Manifest) -> dict[str, float]:
    """Return {class: points of test accuracy lost to the original} of the ten worst-hurt retain classes, worst first.

    A class without test images is left out.
    """
    pairs = zip(original.mean["test_acc_per_class"], own.mean["test_acc_per_class"], strict=True)
    lost = {
        manifest.classes[label]: before - after
        for label, (before, after) in enumerate(pairs)
        if label not in manifest.forget_classes and before is not None
    }
    return dict(sorted(lost.items(), key=lambda item: -item[1])[:WORST])
