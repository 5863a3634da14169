"""Is a given model what it is given as? The original knows all classes, the retrained model never saw some of them.

Asked of the headers that this pipeline writes, of the weights, and of the answers to images, before anything is built.
"""

from pathlib import Path

import torch
from torch import nn

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.models.checkpoint import Header, read_header
from unlearning.models.first_look import Answers, known_from

UNLEARNED = "unlearn@"  # how the names of the stages begin that make a model forget


def refuse_other_role(path: Path, block: str, request: Manifest) -> None:
    """Raise InputError where a checkpoint of this pipeline was made as something else than `block` of params.yaml.

    request: the manifest with what is to be forgotten. A file from elsewhere says nothing of its role.
    """
    header = read_header(path)
    wrong = ROLES[block](header, request) if header is not None and block in ROLES else None
    if wrong:
        raise InputError(f"{block}.checkpoint: {path} {wrong}")


def _no_original(header: Header, request: Manifest) -> str | None:
    forgotten = sorted(set(header.forget_classes) - set(request.erased_before))
    same_samples = header.forget_samples is not None and header.forget_samples == request.request
    if not forgotten and not same_samples:
        return None
    what = _names(forgotten, header) if forgotten else "the samples of this request"
    return (
        f"was made by {header.stage} without {what}: it is no original that knows them; give the model from before, or "
        "name classes that an earlier request erased in forget.before"
    )


def _no_retrained(header: Header, request: Manifest) -> str | None:
    if header.stage.startswith(UNLEARNED):
        return (
            f"was made by {header.stage}: it has forgotten, and never was without what it forgot; give a model trained "
            "without that (train@retrained makes one)"
        )
    if request.forget_samples and header.forget_samples != request.request:
        return f"was made by {header.stage}, not without the samples of this request; give a model trained without them"
    seen = sorted(set(request.forget_classes) - {*header.forget_classes, *header.erased_before})
    if not seen:
        return None
    return f"was made by {header.stage}, with {_names(seen, header)}; give a model trained without these classes"


ROLES = {"original": _no_original, "retrained": _no_retrained}


def refuse_same_model(block: str, path: Path, own: nn.Module, other: nn.Module) -> None:
    """Raise InputError where the original and the retrained model have the same weights."""
    mine, others = own.state_dict(), other.state_dict()
    if mine.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in mine.items()):
        raise InputError(
            f"{block}.checkpoint: {path} has the same weights as the other reference: original and retrained are one "
            "model; give the retrained model, or none (retrained.checkpoint: null trains it)"
        )


def refuse_knowing(path: Path, answers: dict[str, Answers], request: Manifest) -> list[str]:
    """Return a warning where a retrained model answers some images of the classes to forget rightly, else [].

    Raises InputError where it knows them: it was trained with them. Of samples to forget nothing can be said.
    """
    found = [answers[split].accuracy(request.forget_classes) for split in ("train", "test")]
    accuracy = max((one for one in found if one is not None), default=0.0)
    if accuracy >= known_from(len(request.classes)):
        raise InputError(
            f"retrained.checkpoint: {path} knows the classes to forget ({', '.join(request.erased)}: {accuracy:.0f} % "
            "right): it was trained with them; give a model trained without them, or none (null trains it)"
        )
    if accuracy == 0:
        return []
    return [
        f"it answers {accuracy:.1f} % of the images of the classes to forget rightly, a model that never saw them "
        "none; was it trained without them, and are the classes in this order?"
    ]


def _names(labels: list[int], header: Header) -> str:
    names = [header.classes[label] for label in labels]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
