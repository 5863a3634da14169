"""Time and memory of what grows with the number of features: python benchmarks/load.py [images] [width].

Each measure runs in a process of its own, on random features, and tells its largest resident memory. The features
themselves are in it: twice 50,000 x 2048 in float32 are 0.8 GB, torch 0.3 GB.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from unlearning.metrics.alone.linear_probe import fit_probe
from unlearning.metrics.beside.cka import centred, debiased_cka, linear_cka, minibatch_cka
from unlearning.metrics.beside.knn import knn_predictions

CLASSES = 100
SPLIT = 0.8  # of the images known to k-NN; the rest asks


def features(images: int, width: int, seed: int = 0) -> Tensor:
    """Return random features."""
    return torch.randn(images, width, generator=torch.Generator().manual_seed(seed))


def labels(images: int) -> Tensor:
    """Return labels of all classes in turn."""
    return torch.arange(images) % CLASSES


def knn(images: int, width: int) -> None:
    """Ask the nearest of the known images."""
    known = round(SPLIT * images)
    all_of = features(images, width)
    knn_predictions(all_of[:known], labels(known), all_of[known:], 5)


MEASURES: dict[str, Callable[[int, int], object]] = {
    "CKA": lambda n, d: linear_cka(features(n, d), features(n, d, 1)),
    "CKA, debiased": lambda n, d: debiased_cka(features(n, d), features(n, d, 1)),
    "CKA, mini-batches": lambda n, d: minibatch_cka(features(n, d), features(n, d, 1)),
    "CKA, what is a reference's alone": lambda n, d: centred(features(n, d)),
    "linear probe, one step": lambda n, d: fit_probe(features(n, d), labels(n), CLASSES, 0.0001, 1),
    "k-NN, a fifth asks": knn,
    "the features alone": lambda n, d: (features(n, d), features(n, d, 1)),
}


def measured(name: str, images: int, width: int) -> str:
    """Return the row of a measure, run in this process."""
    started = time.perf_counter()
    MEASURES[name](images, width)
    seconds = time.perf_counter() - started
    return f"| {name} | {seconds:.1f} | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=int, nargs="?", default=50_000)
    parser.add_argument("width", type=int, nargs="?", default=2048)
    parser.add_argument("--measure", choices=MEASURES, help="this one alone, in this process")
    given = parser.parse_args()
    if given.measure:
        print(measured(given.measure, given.images, given.width))
        return
    print(f"| {given.images:,} x {given.width}, {torch.get_num_threads()} threads | seconds | peak memory, GB |")
    print("| :--- | ---: | ---: |", flush=True)
    for name in MEASURES:
        command = [sys.executable, __file__, str(given.images), str(given.width), "--measure", name]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
