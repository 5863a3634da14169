"""The model card beside an exported model: what was erased, how, how that was measured, and what it cannot promise."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from huggingface_hub import ModelCardData

from unlearning.data.manifest import Manifest
from unlearning.models.checkpoint import Header
from unlearning.params_file import leaves

Measured = dict[str, dict[str, Any]]  # {model: the details of one seed}, the references first, the model last
Read = Callable[[dict[str, Any]], float | None]


def of_metrics(key: str) -> Read:
    return lambda details: details["metrics"].get(key)


def of_attack(attack: str, images: str) -> Read:
    return lambda details: details[attack]["forget"].get(images)


NUMBERS: dict[str, tuple[Read, int]] = {  # what a row says: where it stands, decimals
    "training images of the erased classes still named rightly, %": (of_metrics("forget_acc"), 1),
    "test images of the erased classes still named rightly, %": (of_metrics("test_forget_acc"), 1),
    "training images of the other classes named rightly, %": (of_metrics("retain_acc"), 1),
    "test images of the other classes named rightly, %": (of_metrics("test_retain_acc"), 1),
    "likeness of the features of erased classes to the original's, CKA, 100 = the same": (of_metrics("cka"), 1),
    "what the features tell of erased classes, IDI, 0 = as a retrained model, 1 = as the original": (
        of_metrics("idi"),
        2,
    ),
    "a classifier fitted on the features names them, %": (of_metrics("linear_probe"), 1),
    "named again after outputs were set from 5 images a class, %": (of_attack("prototype", "5"), 1),
    "named again after training on 5 images a class, %": (of_attack("relearn", "5"), 1),
    "attack that tells erased training images from unseen ones, AUC, 50 = it cannot": (of_metrics("mia_auc"), 1),
}
EACH = {
    False: "Each number is of this very network. ",
    True: "Each number is of this network before those outputs were taken out. ",
}
SAMPLES_HEAD = "| class | its number | training images erased |\n| :--- | ---: | ---: |\n"
LIMITS = """\
- The numbers say what these attacks found on these images with their means. They do not prove that nothing is left,
  and a stronger attack can find more.
- They are of one model. Another run of the same method gives others.
- Erasing from the model erases nothing elsewhere: not the images, not the original model, not copies of either.
- The network can still be shown images of the erased classes. It then names other classes, sometimes with confidence.
"""
PLAIN = """\
import timm
network = timm.create_model("local-dir:{folder}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_data_config(model=network))
"""
OWN = """\
from model import load, transform  # of this folder
network = load()
prepare = transform()
"""


def model_card(header: Header, classes: list[str], manifest: Manifest, measured: Measured) -> str:
    """Return the card in the Hugging Face hub's format; classes: of the outputs that are left, in their order."""
    data = ModelCardData(
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "machine-unlearning", "class-unlearning"],
    )
    dropped = len(classes) < len(header.classes)
    sections = {
        "Load it": _loading(header),
        "What was erased": _erased(header, dropped, manifest),
        "How": _how(header),
        "What was measured": _measured(measured, dropped),
        "What this cannot promise": LIMITS,
        "Outputs": "".join(f"{place}. {name}\n" for place, name in enumerate(classes)),
    }
    body = "\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    return f"---\n{data.to_yaml()}\n---\n\n# {_title(header, manifest)}\n\n{body}"


def erased_names(header: Header) -> list[str]:
    """Return the names of the erased classes, those of earlier requests too."""
    return [header.classes[label] for label in sorted({*header.forget_classes, *header.erased_before})]


def _title(header: Header, manifest: Manifest) -> str:
    what = [f"{len(manifest.forget_samples)} training images"] if manifest.forget_samples else []
    names = erased_names(header)
    return f"{header.architecture.name} without {' and '.join(what + ([_joined(names)] if names else []))}"


def _joined(names: list[str], most: int = 3) -> str:
    shown = names if len(names) <= most else [*names[:most], f"{len(names) - most} more classes"]
    text = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return f"the class{'es' * (len(names) > 1)} {text}"


def _loading(header: Header) -> str:
    own = f"```python\n{OWN}```\n"
    if header.architecture.small_stem is not None:
        return f"{own}\ntimm alone cannot build this network: its stem was made for small images.\n"
    plain = f"```python\n{PLAIN.format(folder='this-folder')}```\n"
    return f"{plain}\nor, with images scaled exactly as for the numbers below:\n\n{own}"


def _erased(header: Header, dropped: bool, manifest: Manifest) -> str:
    counts = np.bincount(manifest.splits["train"].labels[manifest.to_forget("train")], minlength=len(header.classes))
    labels = np.flatnonzero(counts) if manifest.forget_samples else header.forget_classes
    rows = "".join(f"| {header.classes[label]} | {label} | {counts[label]} |\n" for label in labels)
    rows += "".join(f"| {header.classes[label]} | {label} | erased before |\n" for label in header.erased_before)
    if not manifest.absent_classes:
        return f"{SAMPLES_HEAD}{rows}\nTheir classes are kept.\n"
    outputs = (
        "Their outputs were taken out of the classifier: it has none that names them.\n"
        if dropped
        else "Their outputs are still there, so that the other classes keep their numbers.\n"
    )
    return f"| class | number among the original's | training images |\n| :--- | ---: | ---: |\n{rows}\n{outputs}"


def _how(header: Header) -> str:
    method = header.stage.partition("@")[2] or header.stage
    lines = [f"- by: `{header.stage}`{_about(method)}"]
    lines += [f"- {key}: {value}" for key, value in leaves(header.params)]
    lines += [f"- from the file: {header.source}" if header.source else "- from an original trained on the same split"]
    lines += [f"- split of the images: `{header.split}`"]
    return "\n".join(lines) + "\n"


def _about(method: str) -> str:
    try:
        text = importlib.import_module(f"unlearning.methods.{method}").__doc__ or ""
    except ModuleNotFoundError:
        return ""
    return f", {text.strip().splitlines()[0]}"


SAMPLE_NUMBERS: dict[str, tuple[Read, int]] = {  # the same where samples were erased
    "erased training images named rightly, %": (of_metrics("forget_acc"), 1),
    "other training images named rightly, %": (of_metrics("retain_acc"), 1),
    "test images named rightly, %": (of_metrics("test_retain_acc"), 1),
    "attack that tells erased training images from unseen ones, AUC, 50 = it cannot": (of_metrics("mia_auc"), 1),
}


def _measured(measured: Measured, dropped: bool) -> str:
    if not measured:
        return "Nothing: the model was exported before it was measured.\n"
    head = ["", *measured]
    lines = [head, [":---", *["---:"] * len(measured)]]
    by_samples = any(details.get("by_samples") for details in measured.values())
    for words, (read, decimals) in (SAMPLE_NUMBERS if by_samples else NUMBERS).items():
        values = [read(details) for details in measured.values()]
        if any(value is not None for value in values):
            lines.append([words, *("–" if value is None else f"{value:.{decimals}f}" for value in values)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{EACH[dropped]}A dash: it could not be measured, or says nothing there.\n"
