"""Check all of params.yaml before any stage runs: `unlearning check`.

First the values, each method's block included; then what would else end a run after hours: the network is built without
its weights (on torch's meta device, in a second) and asked for every layer that a key names; files and folders that the
keys name are looked for. No image is decoded and nothing is downloaded.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from PIL import Image
from torch import nn

from unlearning.data.images import BROKEN
from unlearning.data.manifest import load_samples
from unlearning.engine.optimisation import OPTIMIZERS, SCHEDULES
from unlearning.errors import InputError, brief, did_you_mean
from unlearning.inputs import outside_of, refuse_missing
from unlearning.methods import method_config, refuse_classes_alone
from unlearning.methods.families.points import EveryPoint, points_of
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules
from unlearning.models.supervision import SupervisedNetwork
from unlearning.models.taps import check_layers, evaluation_layers, tapped
from unlearning.params import Augment, Data, Forget, Model, Params, Recipe
from unlearning.params_file import PARAMS, load_params
from unlearning.sources import Source, load_source
from unlearning.splitting import samples as by_sample
from unlearning.splitting.classes import forget_classes
from unlearning.splitting.request import read_request, refuse_unknown, unread_lists

DOWNLOADED = {"cifar10": 10, "cifar100": 100}  # classes of the sources that the stage `split` may download
SMALL, PHOTO = 32, 96  # px: images below the one made of photos above the other show next to nothing
BATCH = 2  # images on the meta device
Configs = dict[str, Recipe]


def check_all() -> None:
    """Raise InputError naming the first key of params.yaml by which a stage would end."""
    params, configs = checked_values(PARAMS)
    try:
        _check_names(params, configs)
        source = _check_data(params)
        _check_model(params, configs, classes=len(source.classes) if source else _classes_of_the_absent(params.data))
        if params.inputs != "kept":
            _check_files(params, configs)
    except InputError as error:
        raise InputError(f"{PARAMS}: {error}") from None


def check(path: Path) -> None:
    """Raise InputError naming the key of every unknown, missing or wrong value of a parameter file."""
    checked_values(path)


def checked_values(path: Path) -> tuple[Params, Configs]:
    """Return the shared blocks and those of the methods; raises InputError as `check` does."""
    params = load_params(path)
    return params, {name: method_config(name, path) for name in params.methods}


def _check_names(params: Params, configs: Configs) -> None:
    for block, recipe in _recipes(params, configs).items():
        _known(recipe.optimizer, list(OPTIMIZERS), f"{block}.optimizer")
        _known(recipe.schedule, list(SCHEDULES), f"{block}.schedule")
        _fits(recipe.augment, params.data.image_size, block)
    for block, attack in {"relearn": params.relearn, "retain_only": params.retain_only}.items():
        _fits(attack.augment, params.data.image_size, block)
    refuse_unknown(params.forget)
    if params.forget.scenario in by_sample.SCENARIOS:
        refuse_classes_alone(params.methods)
    for unread in unread_lists(params.forget):
        print(f"warning: {PARAMS}: {unread}", file=sys.stderr)


def _recipes(params: Params, configs: Configs) -> Configs:
    return {"train": params.train, "pretrain_ec": params.pretrain_ec, **configs}


def _known(name: str, known: list[str], key: str) -> None:
    if name not in known:
        raise InputError(f"{key}: {name!r} is none of {', '.join(known)}{did_you_mean(name, known)}")


def _fits(augment: Augment, image_size: int, block: str) -> None:
    if augment.padding >= image_size:
        raise InputError(
            f"{block}.augment.padding: {augment.padding} px would shift images of {image_size} px (data.image_size) "
            f"out of sight; give 0 to {image_size - 1}"
        )


def _check_data(params: Params) -> Source | None:
    """Return the source with its classes, or None where it is not there: not downloaded yet, or gone and kept."""
    if params.data.name in DOWNLOADED:
        _refuse_ids_above(params.forget, DOWNLOADED[params.data.name])
        return None
    if params.inputs == "kept" and not all(read.exists for read in outside_of(params, {})["split"]):
        return None
    source = load_source(params.data)
    read_request(params.forget, source)
    _warn_of_lost_photos(params.data, source)
    return source


def _classes_of_the_absent(data: Data) -> int:
    return DOWNLOADED[data.name] if data.name in DOWNLOADED else len(load_samples().classes)


def _refuse_ids_above(forget: Forget, count: int) -> None:
    if forget.scenario == "random":
        forget_classes(forget, [str(number) for number in range(count)])  # how many there are is enough to know
    named = {"forget.classes": forget.classes if forget.scenario == "classes" else [], "forget.before": forget.before}
    for key, entry in ((key, entry) for key, entries in named.items() for entry in entries):
        if str(entry).lstrip("-").isdecimal() and not 0 <= int(entry) < count:
            raise InputError(f"{key}: no class {entry!r}; there are {count}, 0 to {count - 1}")


def _warn_of_lost_photos(data: Data, source: Source) -> None:
    for path in (source.train.paths or [])[:1]:
        try:
            with Image.open(path) as image:  # reads the header alone
                side = min(image.size)
        except BROKEN:
            return  # the stage `split` names all files of this kind
        if data.image_size < SMALL and side >= PHOTO:
            print(
                f"warning: {PARAMS}: data.image_size: {data.image_size} px leaves next to nothing of photos of {side} "
                f"px or more such as {path}; {SMALL} to 224 is usual",
                file=sys.stderr,
            )


def _check_model(params: Params, configs: Configs, classes: int) -> None:
    shape = Architecture(
        params.model.name, dict(params.model.kwargs), params.model.small_stem, classes, 3, params.data.image_size
    )
    with torch.device("meta"), torch.no_grad():
        model = build(shape).eval()
        _refuse_no_weights(params.model)
        _refuse_no_logits(model, shape)
        _check_evaluation(model, shape, params)
        if any(start.start == "ec_modules" for start in params.methods.values()):
            _attempt("model.name", "cannot carry EC modules", lambda: ec_modules(model))
        for name, config in configs.items():
            if isinstance(config, EveryPoint):
                _check_points(model, shape, config, params, name)


def _refuse_no_weights(model: Model) -> None:
    if model.pretrained is True and not timm.is_model_pretrained(model.name):
        raise InputError(f"model.pretrained: timm has no weights of {model.name!r}; give false or the path of a file")


def _refuse_no_logits(model: nn.Module, shape: Architecture) -> None:
    what = f"{shape.name} does not take images of {shape.image_size} px (data.image_size, model.kwargs)"
    logits = _attempt("model", what, lambda: model(_images(shape)))
    if logits.shape != (BATCH, shape.classes):
        raise InputError(
            f"model.kwargs: {shape.name} with {shape.kwargs} gives {tuple(logits.shape[1:])} an image, but "
            f"{shape.classes} logits, one a class, were expected"
        )


def _check_evaluation(model: nn.Module, shape: Architecture, params: Params) -> None:
    layers = check_layers(model, params.evaluate.layers or evaluation_layers(model), "evaluate.layers")
    _refuse_no_features(model, shape, layers, "evaluate.layers")
    measured = params.mutual_information.layers or []
    _refuse_no_features(
        model, shape, check_layers(model, measured, "mutual_information.layers"), "mutual_information.layers"
    )


def _refuse_no_features(model: nn.Module, shape: Architecture, layers: list[str], key: str) -> None:
    """Refuse layers that are not computed, or whose output has no place to average over."""
    for layer in layers:
        with tapped(model, [layer]) as features:
            _attempt(key, f"the output of {layer!r} cannot be read as features", lambda: model(_images(shape)))
        feature = features.get(layer)
        if feature is None or feature.ndim != 4:
            usual = ", ".join(evaluation_layers(model))
            raise InputError(f"{key}: {layer!r} gives no map of features of an image; choose others, such as {usual}")


def _check_points(model: nn.Module, shape: Architecture, config: EveryPoint, params: Params, name: str) -> None:
    points = points_of(model, config, name)
    _refuse_no_features(model, shape, points, f"{name}.extra_points")
    starts_with_modules = params.methods[name].start == "ec_modules"
    modules = ec_modules(model).eval() if config.modules and starts_with_modules else None
    network = SupervisedNetwork(model, points, modules).eval()
    what = f"{shape.name} cannot be supervised at {', '.join(points)}"
    _attempt(name, what, lambda: network(_images(shape)))


def _images(shape: Architecture) -> torch.Tensor:
    return torch.zeros(BATCH, shape.channels, shape.image_size, shape.image_size)


def _attempt(key: str, what: str, compute: Callable[[], torch.Tensor | nn.Module | list]) -> torch.Tensor:
    """Return what is computed; whatever a network raises becomes one InputError."""
    try:
        return compute()  # type: ignore[return-value]
    except InputError:
        raise
    except Exception as error:  # networks check little: a wrong size can raise nearly anything
        raise InputError(brief(f"{key}: {what} ({type(error).__name__}: {error})", 400)) from None


def _check_files(params: Params, configs: Configs) -> None:
    surrogates = {name: folder for name, config in configs.items() if (folder := getattr(config, "surrogate", None))}
    for sources in outside_of(params, surrogates).values():
        for source in sources:
            refuse_missing(source)


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("check")
