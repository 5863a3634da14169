"""Which classes the original model sees in another data set, most frequent first: a request by nearness to a task.

The paper's Top-100 scenario forgets the classes that are nearest to a downstream set: those that the original predicts
most often for its images (UUEF).
"""

from pathlib import Path

import torch
from torch import Tensor

from unlearning.data.manifest import Manifest, load_samples
from unlearning.engine.launch import launch
from unlearning.errors import InputError
from unlearning.evaluation.forward_pass import forward_pass
from unlearning.files import write_atomically
from unlearning.models.checkpoint import load_model
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.sources.downstream import image_split, load_downstream, set_named

MODEL = "original"


def rank_classes(name: str, count: int, to: Path) -> str:
    """Write the `count` classes that the original models predict most often for a set of `downstream:`; say how.

    The predictions of all seeds' models are counted together: they share one request. Raises InputError for a set that
    is not among them, and where fewer classes are predicted at all.
    """
    params, manifest = load_params(), load_samples()
    predicted, images = counted(name, params, manifest)
    chosen = most_frequent(predicted, count)
    seeds = f"{len(params.seeds)} seeds" if len(params.seeds) > 1 else "one seed"
    head = f"# what {MODEL} predicts most often for the {images} images of {name}, {seeds} counted together"
    lines = [f"{manifest.classes[label]!r}  # {predicted[label]} times" for label in chosen]
    write_atomically(to, lambda path: path.write_text("\n".join([head, *lines, ""]), encoding="utf-8"))
    return f"{to}: {count} of {len(manifest.classes)} classes; to forget them: forget.scenario: file, forget.file: {to}"


def counted(name: str, params: Params, manifest: Manifest) -> tuple[Tensor, int]:
    """Return how often each class, int64 (classes,), is predicted for the images of a set; and how many these are."""
    images, where = load_downstream(set_named(name, params.downstream)), launch(params.precision)
    split = image_split(images, manifest, where.device, params.data.workers, params.data.max_pixels)
    predicted = torch.zeros(len(manifest.classes), dtype=torch.int64)
    for seed in params.seeds:
        model = load_model(MODEL, seed, manifest).model
        what = f"{MODEL}, seed {seed}, on the downstream set {name}"
        seen = forward_pass(model, split, where, params.evaluate.batch_size, what)
        predicted += torch.bincount(seen.predictions, minlength=len(predicted))
    return predicted, len(images.ids)


def most_frequent(predicted: Tensor, count: int) -> list[int]:
    """Return the `count` classes of the highest counts, int64 (classes,), highest first; of equal ones the first.

    Raises InputError where fewer classes are predicted at all.
    """
    there = int((predicted > 0).sum())
    if count > there:
        raise InputError(
            f"--count {count}: only {there} classes are predicted for any image; ask for that many at most"
        )
    order = predicted.argsort(descending=True, stable=True)
    return order[:count].tolist()
