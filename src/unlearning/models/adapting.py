"""Making given weights fit the model: a head of another name, one without the classes to forget, half precision.

Whatever is changed is said in a note; weights that are no finite real numbers are refused.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError, and_more
from unlearning.models.backbone import classifier_name, classifier_of
from unlearning.models.state_dicts import Found, Weights

# Left in a state_dict by tools, or rebuilt by the model: EMA's counter, a profiler's counts, old Swin's tables.
NO_WEIGHTS = ("n_averaged", "total_ops", "total_params", "relative_position_index", "attn_mask", "num_batches_tracked")
ABSURD = 1e30  # its square is beyond float32
NEVER = 20.0  # nats below the lowest bias of the kept classes


def adapted(found: Found, model: nn.Module, manifest: Manifest, path: Path, block: str, notes: list[str]) -> Weights:
    """Return the weights under the model's names, in its types, with its outputs; adds to `notes` what was changed.

    path and block (of params.yaml): for messages. Raises InputError for a head of another class list, and for weights
    that are no finite real numbers. What else does not fit is left for `load_exactly` to name.
    """
    weights = _without_extras(found, model)
    head = _name_the_head(weights, found.others, model, manifest, notes)
    left = [key for key in found.others if not key.endswith(NO_WEIGHTS) and key.rpartition(".")[0] != head]
    if left:
        notes.append(f"left out, as no part of {found.name or 'the weights'}: {and_more(left)}")
    _refuse_other_forms(weights, model, path, block)
    _fit_the_head(weights, model, manifest, path, block, notes)
    return _as_float32(weights, model, path, notes)


def _without_extras(found: Found, model: nn.Module) -> Weights:
    """Return the weights without what tools left among them; counters that old PyTorch did not save are the model's."""
    own = model.state_dict()
    weights = {key: value for key, value in found.weights.items() if key in own or not key.endswith(NO_WEIGHTS)}
    return {key: value for key, value in own.items() if key.endswith("num_batches_tracked")} | weights


def _name_the_head(
    weights: Weights, others: Weights, model: nn.Module, manifest: Manifest, notes: list[str]
) -> str | None:
    """Give a classifier of another name the model's, in place: it is the one Linear that is left over.

    Returns its name in the file, None where there is none.
    """
    name, linear, own = classifier_name(model), classifier_of(model), model.state_dict()
    head = name
    if f"{name}.weight" not in weights:
        everything = {**others, **weights}
        left = {
            key.removesuffix(".weight"): value.shape[0]
            for key, value in everything.items()
            if key.endswith(".weight") and key not in own and value.ndim == 2 and value.shape[1] == linear.in_features
        }
        fitting = [key for key, outputs in left.items() if outputs in _allowed_outputs(manifest)] or list(left)
        if len(fitting) != 1:
            return None  # what is missing is named with everything else that does not fit
        head = fitting[0]
        for part in ("weight", "bias"):
            if f"{head}.{part}" in everything:
                weights[f"{name}.{part}"] = everything[f"{head}.{part}"]
                weights.pop(f"{head}.{part}", None)
        notes.append(f"its head {head} is taken as {name}")
    if f"{name}.bias" not in weights and linear.bias is not None:
        weights[f"{name}.bias"] = weights[f"{name}.weight"].new_zeros(len(weights[f"{name}.weight"]))
        notes.append("its head has no bias, which is a bias of 0")
    return head


def _refuse_other_forms(weights: Weights, model: nn.Module, path: Path, block: str) -> None:
    """Refuse what is this architecture in a form that cannot be used: without its head, or quantised."""
    name, own = classifier_name(model), set(model.state_dict())
    zero = next((key for key in sorted(weights) if key.endswith(".zero_point")), None)
    if zero:
        raise InputError(f"{block}.checkpoint: {path} holds quantised weights ({zero}); give the float model")
    if own - set(weights) == {key for key in own if key.startswith(f"{name}.")} and not set(weights) - own:
        raise InputError(
            f"{block}.checkpoint: {path} has no classifier ({name}.weight), only what comes before it; give the whole "
            "model, or give the file as model.pretrained to train a new head on it"
        )


@dataclass(frozen=True)
class _Outputs:
    """A class list that a head may have."""

    labels: list[int]
    gone: str  # what the other classes are


def _allowed_outputs(manifest: Manifest) -> dict[int, _Outputs]:
    """Return the class lists that a head may have, by their length: all, the kept ones, those not erased before."""
    every, kept = list(range(len(manifest.classes))), manifest.kept_classes
    left = [label for label in every if label not in manifest.erased_before]
    both = "erased before or to forget" if manifest.erased_before else "to forget"
    lists = (_Outputs(kept, both), _Outputs(left, "erased before"), _Outputs(every, "none"))
    return {len(one.labels): one for one in lists}


def _fit_the_head(
    weights: Weights, model: nn.Module, manifest: Manifest, path: Path, block: str, notes: list[str]
) -> None:
    """Give a head of fewer classes rows for those that are gone, in place; refuse one of any other class list.

    The added rows are 0 and their bias lies NEVER below the lowest of the others, so that the logit is a constant that
    no image's best one falls under. Not lower than that, because it must stay finite in softmax, KL and JS (the
    probability is 2e-9 or less), and because weight distance and logit norm count it like any other weight.
    """
    name, lists, classes = classifier_name(model), _allowed_outputs(manifest), len(manifest.classes)
    weight, bias = weights.get(f"{name}.weight"), weights.get(f"{name}.bias")
    if weight is None or bias is None or len(weight) == classes:
        return
    if len(weight) not in lists or bias.shape != weight.shape[:1]:
        _refuse_outputs(len(weight), manifest, path, block)
    held = lists[len(weight)]
    rows, biases = weight.new_zeros(classes, *weight.shape[1:]), bias.new_full((classes,), (bias.min() - NEVER).item())
    rows[held.labels], biases[held.labels] = weight, bias
    weights[f"{name}.weight"], weights[f"{name}.bias"] = rows, biases
    notes.append(
        f"its {len(weight)} outputs are those of all classes but those {held.gone}, in their order; these get outputs "
        "that are never predicted"
    )


def _refuse_outputs(outputs: int, manifest: Manifest, path: Path, block: str) -> None:
    classes, kept = len(manifest.classes), len(manifest.kept_classes)
    wrong = f"{block}.checkpoint: {path} has {outputs} outputs, the data {classes} classes"
    if kept < classes:
        fewer = [f"{count} without those {one.gone}" for count, one in _allowed_outputs(manifest).items()][:-1]
        raise InputError(f"{wrong} ({', '.join(fewer)}); give a model of one of these class lists")
    if outputs < classes:
        raise InputError(
            f"{wrong}; the original has to know each class, those to forget too (one trained without them belongs "
            "into retrained.checkpoint)"
        )
    raise InputError(
        f"{wrong}; give a model of this class list, or give the file as model.pretrained to train a new head on it"
    )


def _as_float32(weights: Weights, model: nn.Module, path: Path, notes: list[str]) -> Weights:
    """Return the weights in the model's types; raises InputError naming the first that is no finite real number."""
    own = model.state_dict()
    for name, value in weights.items():
        if name in own and own[name].is_floating_point():
            _refuse_broken(path, name, value)
    half = {str(v.dtype).removeprefix("torch.") for v in weights.values() if v.is_floating_point()} - {"float32"}
    if half:
        notes.append(f"converted from {' and '.join(sorted(half))} to float32")
    return {name: value.to(own[name].dtype) if name in own else value for name, value in weights.items()}


def _refuse_broken(path: Path, name: str, value: Tensor) -> None:
    if not value.is_floating_point() or value.is_quantized:
        raise InputError(f"{path}: {name} is of type {value.dtype}, not of real numbers; give the float model")
    finite = value.float().isfinite()
    if not finite.all():
        bad = int((~finite).sum())
        raise InputError(
            f"{path}: {name} holds NaN or infinity ({bad} of {value.numel()} values); the training diverged or the "
            "file is damaged; give an earlier checkpoint"
        )
    largest = value.float().abs().max().item() if value.numel() else 0.0
    if largest >= ABSURD:
        raise InputError(
            f"{path}: {name} holds weights up to {largest:.0e}, with which no network computes; the training diverged "
            "or the file is damaged; give an earlier checkpoint"
        )
    if name.endswith("running_var") and (value < 0).any():
        raise InputError(f"{path}: {name} holds a negative variance; the file is damaged")
