"""Check all of params.yaml before any stage runs: `unlearning check`.

First the values, each method's block included; then what would else end a run after hours: the network is built without
its weights (`check_network`), what it would need is reckoned (`budgets`), files and folders that the keys name are
looked for. No image is decoded and nothing is downloaded. Each step looks at its own blocks alone, so that all faults
of the file come at once.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unlearning.budgets import Sizes, data_faults, disk_faults, evaluation_faults, sizes_of, training_faults
from unlearning.check_network import Network, method_faults, network_faults, single_value_layers
from unlearning.counts import Counts
from unlearning.data.manifest import load_samples
from unlearning.data.reading import BadImage, Rules, size_of
from unlearning.engine.optimisation import OPTIMIZERS, SCHEDULES
from unlearning.errors import Faults, InputError, did_you_mean
from unlearning.inputs import outside_of, refuse_missing
from unlearning.methods import method_config, refuse_classes_alone
from unlearning.models.architecture import Architecture
from unlearning.params import Augment, Forget, Params, Recipe
from unlearning.params_file import PARAMS, blocks_of, load_values
from unlearning.published_sets import downloadable
from unlearning.sources import Source, load_source
from unlearning.splitting import samples as by_sample
from unlearning.splitting.classes import forget_classes
from unlearning.splitting.request import Request, read_request, refuse_unknown, unread_lists

CHANNELS = {"digits": 1}  # of images that are not read as colour
SMALL, PHOTO = 32, 96  # px: images below the one made of photos above the other show next to nothing
Configs = dict[str, Recipe]


@dataclass
class Read:
    """What of the file is right, what is wrong with it, and what later steps learn from earlier ones."""

    blocks: dict[str, Any]
    configs: Configs
    faults: list[str]
    classes: int | None = None
    images: Counts | None = None
    sizes: Sizes | None = None
    warnings: list[str] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        return all(name in self.blocks for name in names)

    @property
    def params(self) -> Params:
        """The blocks that are right, under their names; a step asks `has` for those that it uses."""
        return Params.model_construct(**self.blocks)

    def attempt(self, step: Callable[["Read"], Iterator[str] | None]) -> None:
        """Take a step; what it yields, or raises as InputError, is a fault of the file."""
        try:
            self.faults.extend(step(self) or ())
        except InputError as error:
            self.faults.extend(told_by(error))


def check_all() -> None:
    """Raise InputError with a line for each key of params.yaml by which a stage would end."""
    read = read_values(PARAMS)
    for step in (_names, _data, _network, _budgets, _files):
        read.attempt(step)
    for warning in read.warnings:
        print(f"warning: {PARAMS}: {warning}", file=sys.stderr)
    if read.faults:
        raise Faults(f"{PARAMS}: ", list(dict.fromkeys(read.faults)))


def check(path: Path) -> None:
    """Raise InputError with a line for each unknown, missing or wrong value of a parameter file."""
    checked_values(path)


def checked_values(path: Path) -> tuple[Params, Configs]:
    """Return the shared blocks and those of the methods; raises InputError as `check` does."""
    read = read_values(path)
    if read.faults:
        raise Faults(f"{path}: ", read.faults)
    return read.params, read.configs


def read_values(path: Path) -> Read:
    """Read the values of a parameter file; raises InputError only for what is no file of keys and values."""
    values = load_values(path)
    blocks, faults = blocks_of(values)
    read = Read(blocks, {}, faults)
    for name in blocks.get("methods", {}):
        if name in values:  # that it is missing has been said
            try:
                read.configs[name] = method_config(name, path)
            except InputError as error:
                read.faults += told_by(error)
    return read


def told_by(error: InputError) -> list[str]:
    """Return the faults of an error, without the name of the file."""
    return error.faults if isinstance(error, Faults) else [str(error).removeprefix(f"{PARAMS}: ")]


def _names(read: Read) -> Iterator[str]:
    for block, recipe in _recipes(read).items():
        yield from _unknown(recipe.optimizer, list(OPTIMIZERS), f"{block}.optimizer")
        yield from _unknown(recipe.schedule, list(SCHEDULES), f"{block}.schedule")
    if read.has("data"):
        attacks = {name: read.blocks[name] for name in ("relearn", "retain_only") if read.has(name)}
        for block, augmented in {**_recipes(read), **attacks}.items():
            yield from _hides(augmented.augment, read.params.data.image_size, block)
    if read.has("forget"):
        refuse_unknown(read.params.forget)
        read.warnings += unread_lists(read.params.forget)
        if read.params.forget.scenario in by_sample.SCENARIOS:
            refuse_classes_alone(read.configs)


def _recipes(read: Read) -> Mapping[str, Any]:
    return {name: read.blocks[name] for name in ("train", "pretrain_ec") if read.has(name)} | read.configs


def _unknown(name: str, known: list[str], key: str) -> Iterator[str]:
    if name not in known:
        yield f"{key}: {name!r} is none of {', '.join(known)}{did_you_mean(name, known)}"


def _hides(augment: Augment, image_size: int, block: str) -> Iterator[str]:
    if augment.padding >= image_size:
        yield (
            f"{block}.augment.padding: {augment.padding} px would shift images of {image_size} px (data.image_size) "
            f"out of sight; give 0 to {image_size - 1}"
        )


def _data(read: Read) -> None:
    """Learn how many classes and images there are; raises InputError where they, or what to forget, are not there."""
    if not read.has("data", "forget"):
        return
    data, forget = read.params.data, read.params.forget
    published = downloadable(data.name)
    if published is not None:
        read.classes = published.classes
        _refuse_ids_above(forget, read.classes)
        read.images = Counts(0, published.training, published.test)
    elif _gone_and_kept(read):
        read.classes = len(load_samples().classes)
    else:
        source = load_source(data)
        read.classes = len(source.classes)
        read.images = counts_of(source, read_request(forget, source))
        _warn_of_lost_photos(read, source)


def _gone_and_kept(read: Read) -> bool:
    """Return whether the images may be gone, and are."""
    if not read.has(*_OUTSIDE) or read.params.inputs != "kept":
        return False
    return not all(given.exists for given in outside_of(read.params, {})["split"])


_OUTSIDE = (
    "inputs",
    "data",
    "forget",
    "model",
    "references",
    "original",
    "retrained",
    "methods",
    "audit",
    "downstream",
)


def counts_of(source: Source, request: Request) -> Counts:
    """Return how many images there are at most: test and validation images may be cut from the training images."""
    chosen = len(request.samples) or int(np.isin(source.train.labels, request.classes).sum())
    others = [split for split in (source.test, source.validation) if split is not None]
    training = len(source.train.labels)
    return Counts(chosen, training - chosen, sum(len(split.labels) for split in others) or training)


def _refuse_ids_above(forget: Forget, count: int) -> None:
    if forget.scenario == "random":
        forget_classes(forget, [str(number) for number in range(count)])  # how many there are is enough to know
    named = {"forget.classes": forget.classes if forget.scenario == "classes" else [], "forget.before": forget.before}
    for key, entry in ((key, entry) for key, entries in named.items() for entry in entries):
        if str(entry).lstrip("-").isdecimal() and not 0 <= int(entry) < count:
            raise InputError(f"{key}: no class {entry!r}; there are {count}, 0 to {count - 1}")


def _warn_of_lost_photos(read: Read, source: Source) -> None:
    size = read.params.data.image_size
    for path in source.train.files[:1]:
        try:
            side = min(size_of(path, Rules(max_pixels=read.params.data.max_pixels)))
        except BadImage:
            return  # the stage `split` names all files of this kind
        if size < SMALL and side >= PHOTO:
            read.warnings.append(
                f"data.image_size: {size} px leaves next to nothing of photos of {side} px or more such as {path}; "
                f"{SMALL} to 224 is usual"
            )


def _network(read: Read) -> Iterator[str]:
    if not read.has("model", "data"):
        return
    model, data = read.params.model, read.params.data
    channels = CHANNELS.get(data.name, 3)
    classes = 2 if read.classes is None else read.classes
    network = Network(
        Architecture(model.name, dict(model.kwargs), model.small_stem, classes, channels, data.image_size)
    )
    read.sizes = sizes_of(network.model, channels, data.image_size)
    layers = {"evaluate.layers": read.params.evaluate.layers} if read.has("evaluate") else {}
    if read.has("mutual_information"):
        layers["mutual_information.layers"] = read.params.mutual_information.layers or []
    yield from network_faults(network, model, layers)
    if read.has("methods"):
        yield from method_faults(network, read.params.methods, read.configs)
    _warn_of_single_images(read, network)


def _warn_of_single_images(read: Read, network: Network) -> None:
    """A batch of one image, whose map has one pixel: BatchNorm has nothing to normalise over."""
    if read.images is not None and 1 in (read.images.forget, read.images.retain):
        layers = single_value_layers(network)
        if layers:
            part = "forget" if read.images.forget == 1 else "retain"
            read.warnings.append(
                f"forget: a single image to {part}, of which {layers[0]} sees one pixel: a method that trains on it "
                "alone will end; give more images, or a larger data.image_size"
            )


def _budgets(read: Read) -> Iterator[str]:
    if read.images is None or not read.has("budget"):
        return
    images, sizes, budget = read.images, read.sizes, read.blocks["budget"]
    most = read.params.max_images_per_device if read.has("max_images_per_device") else None
    for key, recipe in _recipes(read).items():
        yield from training_faults(key, recipe, images, sizes, budget, most)
    if read.has("evaluate", "linear_probe", "relearn", "attacks"):
        yield from evaluation_faults(read.params, images, sizes)
    if read.has("data"):
        yield from data_faults(read.params.data, images, CHANNELS.get(read.params.data.name, 3), budget)
    if sizes is not None and read.has("seeds", "references", "methods", "audit", "evaluate"):
        yield from disk_faults(read.params, images, sizes, budget)


def _files(read: Read) -> Iterator[str]:
    if not read.has(*_OUTSIDE) or read.params.inputs == "kept":
        return
    surrogates = {name: folder for name, one in read.configs.items() if (folder := getattr(one, "surrogate", None))}
    for sources in outside_of(read.params, surrogates).values():
        for source in sources:
            try:
                refuse_missing(source)
            except InputError as error:
                yield str(error)


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("check")
