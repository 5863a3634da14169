"""Time and memory of what grows with the number of features: python benchmarks/load.py [images] [width].

Each measure runs in a process of its own, on random features, and tells its largest resident memory. The features
themselves are in it: twice 50,000 x 2048 in float32 are 0.8 GB, torch 0.3 GB.
"""

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
    images, width = (int(given) for given in (*sys.argv[1:3], *("50000", "2048")[len(sys.argv) - 1 :]))
    if len(sys.argv) > 3:
        print(measured(sys.argv[3], images, width))
        return
    print(f"| {images:,} x {width}, {torch.get_num_threads()} threads | seconds | peak memory, GB |")
    print("| :--- | ---: | ---: |", flush=True)
    for name in MEASURES:
        subprocess.run([sys.executable, __file__, str(images), str(width), name], check=True)


if __name__ == "__main__":
    main()
