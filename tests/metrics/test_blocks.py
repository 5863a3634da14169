"""Large sets by blocks: the numbers are those of all samples at once, and memory does not grow with a copy of them."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.pipeline import ROOT
from unlearning.metrics.alone import blocks as in_blocks
from unlearning.metrics.alone import linear_probe
from unlearning.metrics.alone.blocks import blocks, joined, mean_of_samples, summed
from unlearning.metrics.alone.collapse import collapse_diagnostics
from unlearning.metrics.alone.linear_probe import fit_probe
from unlearning.metrics.alone.membership import membership_statistics
from unlearning.metrics.beside import cka, knn
from unlearning.metrics.beside.cka import centred, cka_by_all, debiased_cka, linear_cka, minibatch_cka
from unlearning.metrics.beside.closeness import js_divergence
from unlearning.metrics.beside.head_recovery import recovered_accuracy, recovered_head
from unlearning.metrics.beside.knn import knn_predictions

COUNT = 101  # a prime: no block divides it


def features(dimension: int, seed: int, count: int = COUNT) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)).relu()


LABELS = torch.arange(COUNT) % 5
METRICS: dict[str, Callable[[], object]] = {
    "full": lambda: linear_cka(features(20, 0), features(30, 1)),
    "full, more dimensions than samples": lambda: linear_cka(features(200, 0), features(30, 1)),
    "debiased": lambda: debiased_cka(features(20, 0), features(30, 1)),
    "debiased, more dimensions than samples": lambda: debiased_cka(features(20, 0), features(300, 1)),
    "all": lambda: tuple(cka_by_all(features(20, 0), features(30, 1)).values()),
    "collapse": lambda: tuple(collapse_diagnostics(features(20, 0), features(5, 1)).values()),
    "js": lambda: js_divergence(features(20, 0), features(20, 1)),
    "head": lambda: recovered_head(features(20, 0), features(5, 1)).flatten().tolist(),
    "its accuracy": lambda: recovered_accuracy(features(5, 2, 21).double(), features(20, 0), LABELS),
    "membership": lambda: torch.cat(list(membership_statistics(features(5, 0), LABELS).values())).tolist(),
    "probe": lambda: fit_probe(features(8, 0).double(), LABELS, 5, 0.001, 20).weight.flatten().tolist(),
}


@pytest.mark.parametrize("rows", [1, 7, 50, 100, 101, 102])
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_blocks_change_no_number(metric: Callable[[], object], rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = metric()
    monkeypatch.setattr(in_blocks, "ROWS", rows)
    monkeypatch.setattr(linear_probe, "ROWS", rows)
    monkeypatch.setattr(cka, "PANEL", rows)
    assert metric() == pytest.approx(whole, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("metric", [name for name in METRICS if name not in ("probe",)])
def test_one_block_gives_the_same_bits_every_time(metric: str) -> None:
    assert METRICS[metric]() == METRICS[metric]()


@pytest.mark.parametrize("known", [1, 3, 7, 60, 100])
@pytest.mark.parametrize("queries", [1, 13, 1000])
@pytest.mark.parametrize("k", [1, 5, 60])
def test_blocks_of_known_samples_find_the_same_neighbours(
    known: int, queries: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_features, asked = (features(8, seed, count) + 0.1 for seed, count in ((0, 60), (1, 40)))  # no two alike
    arguments = known_features, torch.arange(60) % 7, asked, k
    whole = knn_predictions(*arguments)
    monkeypatch.setattr(knn, "KNOWN", known)
    monkeypatch.setattr(knn, "QUERIES", queries)
    assert torch.equal(knn_predictions(*arguments), whole)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 20])
def test_blocks_are_all_samples_in_their_order(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_blocks, "ROWS", 8)
    numbers = torch.arange(count, dtype=torch.float64)
    assert [one.stop - one.start for one in blocks(count)] == (
        [8] * (count // 8) + [count % 8] * bool(count % 8) or [0]
    )
    assert torch.equal(joined(count, lambda rows: numbers[rows] * 2), numbers * 2)
    assert summed(count, lambda rows: numbers[rows].sum()) == numbers.sum()
    if count:
        assert mean_of_samples(numbers[:, None].float()) == numbers.mean()


def test_what_a_model_s_features_alone_give_is_computed_once_and_the_same_for_all_beside_it() -> None:
    original = centred(features(20, 0))
    for seed in (1, 2, 3):
        other = features(30, seed)
        everything = cka_by_all(original, other)
        assert everything == cka_by_all(features(20, 0), other)
        assert list(everything.values()) == [
            estimate(features(20, 0), other) for estimate in (linear_cka, minibatch_cka, debiased_cka)
        ]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_all_estimators_together_are_blank_where_each_alone_is(count: int) -> None:
    x, y = features(3, 0, count), features(3, 1, count)
    expected = {"full": count >= 2, "minibatch": count >= 2, "debiased": count >= 4}
    assert {name: value is not None for name, value in cka_by_all(x, y).items()} == expected


MEMORY = """
import resource
import torch
from unlearning.metrics.alone.collapse import collapse_diagnostics
from unlearning.metrics.alone.linear_probe import fit_probe
from unlearning.metrics.beside.cka import cka_by_all
from unlearning.metrics.beside.closeness import js_divergence
from unlearning.metrics.beside.head_recovery import recovered_head
from unlearning.metrics.beside.knn import knn_predictions

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # MB

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
x, y = (torch.randn(200_000, 128, generator=generator) for _ in range(2))
labels = torch.arange(len(x)) % 5
small = [one[:100] for one in (x, y)]  # loads what is loaded at the first use
metrics = {
    "CKA": lambda x, y: cka_by_all(x, y),
    "collapse": lambda x, y: collapse_diagnostics(x, y[:, :5]),
    "JS": lambda x, y: js_divergence(x, y),
    "head": lambda x, y: recovered_head(x, y[:, :5]),
    "k-NN": lambda x, y: knn_predictions(x, labels[: len(x)], y[:50], 5),
    "probe": lambda x, y: fit_probe(x, labels[: len(x)], 5, 0.0001, 1),
}
for metric in metrics.values():
    metric(*small)
for name, metric in metrics.items():
    before = peak()
    metric(x, y)
    print(f"{name}: {peak() - before:.0f}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_no_metric_holds_a_copy_of_all_features_but_the_probe_its_standardised_one() -> None:
    """One set is 102 MB in float32, 205 MB in float64."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=ROOT, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    grown = {name: int(megabytes) for name, megabytes in (line.split(": ") for line in done.stdout.splitlines())}
    probe = grown.pop("probe")
    assert max(grown.values()) < 60, grown
    assert probe < 150
