"""Time and memory of what grows with the number of features: python -m benchmarks.load [images] [width].

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

from benchmarks.of_features import Size, Work, cka, cka_debiased, features, knn, labels
from unlearning.metrics.alone.linear_probe import fit_probe
from unlearning.metrics.beside.cka import centred, minibatch_cka

CLASSES = 100


def probe_step(size: Size) -> Work:
    return lambda: fit_probe(features(size), labels(size), CLASSES, 0.0001, 1)


MEASURES: dict[str, Callable[[Size], Work]] = {
    "CKA": cka,
    "CKA, debiased": cka_debiased,
    "CKA, mini-batches": lambda size: lambda: minibatch_cka(features(size), features(size, 1)),
    "CKA, what is a reference's alone": lambda size: lambda: centred(features(size)),
    "linear probe, one step": probe_step,
    "k-NN, a fifth asks": knn,
    "the features alone": lambda size: lambda: (features(size), features(size, 1)),
}


def measured(name: str, images: int, width: int) -> str:
    """Return the row of a measure, run in this process."""
    started = time.perf_counter()
    MEASURES[name](Size(images, CLASSES, width))()
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
        command = [sys.executable, "-m", "benchmarks.load", str(given.images), str(given.width), "--measure", name]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
