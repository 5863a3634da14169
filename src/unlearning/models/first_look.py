"""Does a given model know the classes? Asked of a few images of each, before anything is built on it.

The usual causes of a model that does not are not in its file: the order of the classes and how images were prepared.
"""

import re
import textwrap
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.params import Params

PER_CLASS, IN_ALL = 20, 2000  # images looked at, of a class and of a split
BATCH, WIDTH = 50, 120
CAUSES = (
    "the order of the classes, data.mean and data.std, data.image_size and data.eval_resize, model.small_stem, "
    "colour (RGB, not BGR; grey)"
)


@dataclass(frozen=True)
class Answers:
    """What the model says of some images of a split."""

    predictions: Tensor  # int64 (n,)
    labels: Tensor  # int64 (n,)

    def accuracy(self, classes: list[int]) -> float | None:
        """Return the accuracy on these classes in percent; None without images of them."""
        of_them = torch.isin(self.labels, torch.tensor(classes))
        right = (self.predictions == self.labels)[of_them].double()
        return 100 * right.mean().item() if len(right) else None


def look(model: nn.Module, manifest: Manifest, where: Launch, workers: int) -> dict[str, Answers]:
    """Return the answers to training and test images: at most PER_CLASS of a class and about IN_ALL of a split.

    Test images that are training images too are not asked.
    """
    network = where.in_precision(where.place(model.eval()))
    answers = {}
    for name in ("train", "test"):
        split, chosen = ImageSplit(manifest, name, where.device, workers), some_of_each(manifest, name)
        with torch.no_grad():
            said = [network(batch.images).argmax(dim=1).cpu() for batch in split.batches(in_order(chosen, BATCH))]
        labels = split.labels[torch.from_numpy(chosen)]
        answers[name] = Answers(torch.cat([labels[:0], *said]), labels)
    return answers


def some_of_each(manifest: Manifest, split: str) -> np.ndarray:
    """Return sorted positions of images of each class that are the split's own, evenly spread over them."""
    labels, own, classes = manifest.splits[split].labels, manifest.own(split), len(manifest.classes)
    count = max(1, min(PER_CLASS, IN_ALL // classes))
    chosen = []
    for label in range(classes):
        positions = np.flatnonzero(own & (labels == label))
        chosen.append(positions[np.linspace(0, len(positions) - 1, min(count, len(positions))).round().astype(int)])
    return np.sort(np.concatenate(chosen))


def report(answers: dict[str, Answers], manifest: Manifest, what: str) -> str:
    """Return the accuracy on each class, and on those to keep and to forget, on training / test images, in percent."""
    forget, kept = manifest.forget_classes, manifest.kept_classes
    classes = ", ".join(f"{name}: {_both(answers, [label])}" for label, name in enumerate(manifest.classes))
    shown = max(int(torch.bincount(answers["train"].labels).max()), 1)
    return "\n".join(
        [
            f"{what}: accuracy on training / test images, percent, of at most {shown} images of each class and split",
            *textwrap.wrap(classes, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False),
            f"  all to keep: {_both(answers, kept)}, all to forget: {_both(answers, forget)}",
        ]
    )


def to_forget(answers: dict[str, Answers], manifest: Manifest) -> str:
    """Return the accuracy on the classes to forget on training / test images, in percent."""
    return _both(answers, manifest.forget_classes)


def still_known(answers: dict[str, Answers], earlier: Manifest) -> list[str]:
    """Return a line where a model knows the classes that were erased before, which it should not; else []."""
    if not _knows(answers, earlier.forget_classes, known_from(len(earlier.classes))):
        return []
    names = ", ".join(earlier.erased)
    return [f"it knows classes that were erased before ({names}): is it the model that they were erased from?"]


def _both(answers: dict[str, Answers], classes: list[int]) -> str:
    return " / ".join(_percent(answers[split].accuracy(classes)) for split in ("train", "test"))


def doubts(answers: dict[str, Answers], manifest: Manifest, knows_forget: bool) -> list[str]:
    """Return what is wrong with the answers, a line each; [] for a model that knows what it should.

    knows_forget: whether it should know the classes to forget (the original) or must not (the retrained model).
    """
    classes, forget = len(manifest.classes), manifest.forget_classes
    should_know = [*manifest.kept_classes, *(forget if knows_forget else [])]
    least = known_from(classes)
    name, asked = ("test", answers["test"]) if len(answers["test"].labels) else ("training", answers["train"])
    if _at_most(asked.accuracy(should_know), least):
        order = fitting_order(asked, manifest.classes, should_know)
        cause = f"its outputs fit the classes {order}" if order else f"usual causes: {CAUSES}"
        return [f"it does not know the classes ({name} accuracy below {least:.0f} %); {cause}"]
    knows = _knows(answers, forget, least)
    names = ", ".join(manifest.classes[label] for label in forget)
    if knows_forget and knows is False:
        return [
            f"it does not know the classes to forget ({names}): was it trained with them, under these names? Other "
            f"causes: {CAUSES}"
        ]
    if knows and not knows_forget:
        return [f"it knows the classes to forget ({names}): was it trained without them?"]
    return []


def _knows(answers: dict[str, Answers], classes: list[int], least: float) -> bool | None:
    """Return whether the model knows classes, by test images or, where there are none, training images of them.

    None where there is no image of them.
    """
    found = (answers[split].accuracy(classes) for split in ("test", "train"))
    accuracy = next((one for one in found if one is not None), None)
    return None if accuracy is None else accuracy >= least


def known_from(classes: int) -> float:
    """Return the accuracy, percent, above which a model knows something: thrice chance, or half-way to 100."""
    chance = 100 / classes
    return min(3 * chance, (chance + 100) / 2)


def fitting_order(answers: Answers, names: list[str], known: list[int]) -> str | None:
    """Return in words the order of the classes under which the answers would be right, or None.

    Tried are natural order (2 before 10) and text order; then each output is given to the class it answers to most.
    """
    orders = {
        "in natural order": sorted(range(len(names)), key=lambda label: _natural(names[label])),
        "in the order of their names as text": sorted(range(len(names)), key=lambda label: names[label]),
        "in the order of their names without regard to case": sorted(
            range(len(names)), key=lambda label: names[label].lower()
        ),
    }
    for words, order in orders.items():
        translated = Answers(torch.tensor(order)[answers.predictions], answers.labels)
        if not _at_most(translated.accuracy(known), known_from(len(names))):
            return f"{words} ({_listed([names[label] for label in order])}); sort the rows of its head like data/split"
    return _own_order(answers, names, known)


def _own_order(answers: Answers, names: list[str], known: list[int]) -> str | None:
    """Return the order in which each class has an output of its own that answers to most of its images."""
    outputs = {}
    for label in known:
        said = answers.predictions[answers.labels == label]
        counts = torch.bincount(said, minlength=len(names))
        if len(said) and 2 * counts.max() > len(said):
            outputs[int(counts.argmax())] = names[label]
    if len(outputs) < max(3, 0.9 * len(known)):
        return None
    return f"in an order of their own ({_listed([outputs.get(output, '?') for output in range(len(names))])})"


def measured_normalisation(params: Params, manifest: Manifest) -> list[str]:
    """Return a line where mean or std are the training split's own: a checkpoint expects those it was trained with."""
    if params.data.mean and params.data.std:
        return []
    return [
        "data.mean or data.std is empty, so images are normalised by what was measured on the training split "
        f"({manifest.mean}, {manifest.std}); give those that the checkpoint was trained with"
    ]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name) if part]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _at_most(accuracy: float | None, least: float) -> bool:
    """Return whether an accuracy is too low; without images nothing can be said against a model."""
    return accuracy is not None and accuracy < least


def _percent(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{accuracy:.0f}"
