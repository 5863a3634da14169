"""Typed, validated view of params.yaml: the one place where the shape of every value is written down.

Values live in params.yaml alone: no default is repeated here. `params_file` reads the file into these blocks.
"""

import importlib.util
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from unlearning.bounds import (
    BatchSize,
    Classes,
    ClassId,
    Decay,
    Dimensions,
    Epochs,
    FilePath,
    ForwardBatch,
    Fraction,
    Gigabytes,
    HeldOut,
    Images,
    ImagesToJudge,
    Layers,
    LearningRate,
    Momentum,
    Name,
    Nats,
    Neighbours,
    Norm,
    Percent,
    Pictures,
    Pixels,
    Points,
    Portion,
    Probability,
    Seed,
    Share,
    Steps,
    Temperature,
    Times,
    Weight,
    WeightDecay,
    Within,
    Word,
)  # fmt: skip
from unlearning.counts import Counts
from unlearning.errors import did_you_mean

Scalar = bool | int | float | str | None


class Block(BaseModel):
    """A block of params.yaml: every key required, unknown keys and wrong types refused, values immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Budget(Block):
    steps: Annotated[int, Within(1, 10**12, "optimiser steps")]
    memory_gb: Annotated[float, Within(0.0, 1e6, "GB; no machines have more", above=True)]
    disk_gb: Annotated[float, Within(0.0, 1e6, "GB; no machines have more", above=True)]


class Data(Block):
    name: Word
    root: FilePath
    test_fraction: HeldOut
    validation_fraction: Annotated[float, Within(0.0, 0.9, "a share; a tenth at least is left to train on")]
    seed: Seed
    image_size: Pixels
    eval_resize: Annotated[list[Pixels], Field(max_length=2)]
    mean: Annotated[list[float], Field(min_length=1, max_length=4)] | None
    std: Annotated[list[float], Field(min_length=1, max_length=4)] | None
    value_range: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    max_pixels: Annotated[int, Within(1, 10**10, "pixels; no picture has more")]
    resident_gb: Gigabytes
    workers: Annotated[int, Within(0, 256, "processes; no machine decodes by more")]

    @field_validator("value_range")
    @classmethod
    def _black_is_below_white(cls, values: list[float] | None) -> list[float] | None:
        if values is not None and values[0] >= values[1]:
            raise ValueError("this is the value of black and then that of white; the first should be the lower")
        return values

    @field_validator("eval_resize")
    @classmethod
    def _holds_the_crop(cls, sides: list[int], block: ValidationInfo) -> list[int]:
        if any(side < block.data.get("image_size", 0) for side in sides):
            raise ValueError("each side should be at least image_size, which is cut out of its middle")
        return sides

    @field_validator("std")
    @classmethod
    def _of_pixels_that_differ(cls, values: list[float] | None) -> list[float] | None:
        if any(value < 1e-4 for value in values or ()):
            raise ValueError("0.0001 to 1 was expected of each: images are divided by it")
        return values

    @field_validator("mean", "std")
    @classmethod
    def _of_pixels_up_to_1(cls, values: list[float] | None) -> list[float] | None:
        if any(abs(value) > 1 for value in values or ()):
            raise ValueError("these are of pixels in 0..1; divide what is of pixels in 0..255 by 255")
        return values


ClassNames = Annotated[list[ClassId | Name], Field(max_length=100_000)]
READ_A_FILE = ("file", "samples")  # scenarios of `forget`


class Forget(Block):
    scenario: Word
    count: Classes
    seed: Seed
    classes: ClassNames
    file: FilePath | None
    share: Share
    before: ClassNames

    @property
    def list_file(self) -> str | None:
        """The file that the scenario reads, if it reads one."""
        return self.file if self.scenario in READ_A_FILE else None


class Model(Block):
    name: Word
    kwargs: dict[str, Scalar | list[Scalar]]  # which, and how large, says models/kwargs.py
    small_stem: Literal[1, 2] | None
    pretrained: bool | FilePath


class Reference(Block):
    checkpoint: FilePath | list[FilePath] | None  # one file for all seeds, or one a seed
    sha256: Word | list[Word] | None
    checkpoint_key: Name | None  # where a file holds several sets of weights

    @field_validator("sha256")
    @classmethod
    def _one_for_each_file(cls, sha256: str | list[str] | None, block: ValidationInfo) -> str | list[str] | None:
        if sha256 is None or "checkpoint" not in block.data:
            return sha256
        checkpoint = block.data["checkpoint"]
        a_list_for_one = isinstance(sha256, list) and not isinstance(checkpoint, list)
        if a_list_for_one or len(_listed(sha256)) != len(_listed(checkpoint)):
            raise ValueError("give one for each file of checkpoint, in the same order")
        return sha256

    @property
    def files(self) -> list[Path]:
        """The checkpoints, none, one for all seeds or one a seed, as they are opened."""
        return [Path(file.strip()).expanduser() for file in _listed(self.checkpoint)]

    def file_for(self, repetition: int) -> tuple[str | None, str | None]:
        """Return path and hash for the seed that stands at place `repetition` of `seeds:`."""
        return _item(self.checkpoint, repetition), _item(self.sha256, repetition)


class Audited(Reference):
    """A model made elsewhere, as a row of the table; only its file must be given."""

    checkpoint: FilePath | list[FilePath]
    sha256: Word | list[Word] | None = None
    checkpoint_key: Name | None = None


def _listed(given: str | list[str] | None) -> list[str]:
    return given if isinstance(given, list) else [given] if given else []


def _item(given: str | list[str] | None, number: int) -> str | None:
    return given[number] if isinstance(given, list) else given


class Augment(Block):
    padding: Annotated[int, Within(0, 4095, "px; it would shift the largest images out of sight")]
    min_area: Portion
    flip: Probability
    jitter: Fraction
    grayscale: Probability


class Recipe(Block):
    """How a network is optimised: shared by training, EC-module pre-training and every unlearning method."""

    epochs: Epochs
    batch_size: BatchSize
    optimizer: Word
    lr: LearningRate
    momentum: Momentum
    weight_decay: WeightDecay
    schedule: Word
    # Of `step` alone: when so many epochs of a phase are done, lr is multiplied by `decay`.
    milestones: Annotated[list[Epochs], Field(max_length=100)]
    decay: Decay  # of `step` alone
    warmup: Fraction
    clip_norm: Norm | None
    augment: Augment

    @field_validator("milestones")
    @classmethod
    def _steps_ascend(cls, milestones: list[int], block: ValidationInfo) -> list[int]:
        if block.data.get("schedule") == "step" and not milestones:
            raise ValueError("the schedule `step` needs the epochs after which it lowers lr; give them, or `constant`")
        if milestones != sorted(set(milestones)):
            raise ValueError("these epochs should ascend")
        return milestones

    def steps(self, images: Counts) -> int:
        """Return how many optimiser steps a training takes at most; of methods that go another way, their own."""
        return self.epochs * images.steps("all", self.batch_size)

    def scanned(self, images: Counts) -> int:  # noqa: ARG002
        """Return how many images a training looks at before its first step; of methods that measure some, their own."""
        return 0


class UnlearnRecipe(Recipe):
    stop_at_forget_acc: Percent | None  # ends after the epoch in which the training forget accuracy reaches it


class Train(Recipe):
    label_smoothing: Fraction


class ShortRun(Block):
    share: Share


class PretrainEC(Recipe):
    tau: Temperature


class Start(Block):
    start: Literal["original", "ec_modules"]


class Evaluate(Block):
    split: Literal["test", "validation"]
    batch_size: ForwardBatch
    layers: Layers | None
    max_samples: ImagesToJudge
    shared_samples: ImagesToJudge
    seed: Seed


class LinearProbe(Block):
    small_fraction: Portion
    layer_samples: Images
    l2: Weight
    steps: Steps


class Attacks(Block):
    shots: Annotated[list[Images], Field(max_length=20)]
    max_samples: Images
    seed: Seed


class Prototype(Block):
    draws: Times
    false_alarms: Share


class FineTuning(Block):
    """A few plain steps on a copy of the model, as an attacker makes them."""

    steps: Steps
    batch_size: BatchSize
    momentum: Momentum
    clip_norm: Norm
    augment: Augment


class Relearn(FineTuning):
    draws: Times
    lrs: Annotated[list[LearningRate], Field(min_length=1, max_length=20)]
    survives: Probability
    head_samples: Images


class RetainOnly(FineTuning):
    lr: LearningRate


class BatchNormAttack(Block):
    batches: Times
    batch_size: BatchSize


class CKA(Block):
    estimator: Literal["full", "minibatch", "debiased"]


class KNN(Block):
    k: Neighbours
    features: Literal["penultimate", "logits"]
    test_fraction: HeldOut
    seed: Seed


class DownstreamSet(Block):
    name: Word  # in the metrics: knn.<name>
    source: Word
    root: FilePath
    domain: Word | None = None  # of office_home and domainnet126
    split: Literal["official", "random"] = "official"  # random: `knn.test_fraction` also where there is an official one


class LiRA(Block):
    shadows: Annotated[list[Annotated[int, Within(0, 999, "numbers of shadow models")]], Field(max_length=1000)]
    seed: Seed


class Predictors(Block):
    points: Times
    max_samples: Images
    seed: Seed


class RMIA(Block):
    gamma: Annotated[float, Within(1.0, 1000.0, "a ratio by which a sample must beat another")]
    offline_a: Probability


class Figures(Block):
    models: Annotated[list[Word], Field(max_length=100)]
    forget_class: ClassId | Name | None
    queries: Annotated[int, Within(0, 100, "rows of a figure; it has no room for more")]
    neighbours: Pictures
    photos: bool
    seed: Seed


class CrossFitted(Block):
    critic: Literal["linear", "kernel"]
    folds: Annotated[int, Within(2, 1000, "folds, a fit each")]
    rank: Dimensions
    landmarks: Dimensions


class InfoNCE(Block):
    held_out: HeldOut
    dimension: Dimensions
    batch_size: BatchSize
    epochs: Epochs
    max_steps_per_epoch: Steps
    lr_features: LearningRate
    lr_labels: LearningRate


class MutualInformation(Block):
    layers: Layers | None
    max_samples: ImagesToJudge
    estimator: Literal["cross_fitted", "info_nce"]
    trials: Times
    seed: Seed
    cross_fitted: CrossFitted
    info_nce: InfoNCE


class IDI(Block):
    estimate: Literal["held_out", "train"]
    floor: Nats


class Search(Block):
    criterion: Literal["h_mean", "closeness", "accuracy"]
    trials: Annotated[int, Within(1, 100_000, "settings tried, some trainings each")]
    repetitions: Times | None
    give_up: Points
    max_samples: Annotated[int, Within(4, 100_000_000, "images; fewer judge nothing, and no data set has more")]
    precisions: Annotated[list[Literal["bf16", "fp32"]], Field(min_length=1, max_length=2)]
    lr_min: LearningRate
    lr_max: LearningRate
    epochs_max: Epochs
    forget_weight: Points

    @field_validator("lr_max")
    @classmethod
    def _above_the_lowest(cls, lr_max: float, block: ValidationInfo) -> float:
        if lr_max < block.data.get("lr_min", 0.0):
            raise ValueError(f"this should be at least lr_min, {block.data['lr_min']}")
        return lr_max


class Known(Block):
    knows: Word


class Params(Block):
    """The blocks that every run shares; each method's own block is read by `method_config`."""

    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1000)]
    precision: Literal["auto", "bf16", "fp32"]
    inputs: Literal["times", "content", "kept"]
    budget: Budget
    checkpoint_minutes: Annotated[float, Within(0.0, 10_000.0, "minutes; a week has no more", above=True)]
    max_images_per_device: Images | None
    data: Data
    forget: Forget
    model: Model
    original: Reference
    retrained: Reference
    references: dict[Literal["original", "retrained", "short_run"], Known]
    short_run: ShortRun
    train: Train
    pretrain_ec: PretrainEC
    methods: dict[str, Start]
    audit: Annotated[dict[str, Audited], Field(max_length=1000)]
    headline: Name
    evaluate: Evaluate
    linear_probe: LinearProbe
    attacks: Attacks
    prototype: Prototype
    relearn: Relearn
    predictors: Predictors
    retain_only: RetainOnly
    batchnorm: BatchNormAttack
    mutual_information: MutualInformation
    idi: IDI
    cka: CKA
    knn: KNN
    downstream: Annotated[list[DownstreamSet], Field(max_length=50)]
    lira: LiRA
    rmia: RMIA
    figures: Figures
    search: Search

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("each seed is a repetition of its own; give different ones")
        return seeds

    @field_validator("references")
    @classmethod
    def _references_know_what_they_may(cls, references: dict[str, Known]) -> dict[str, Known]:
        if "original" not in references:
            raise ValueError("the original model must be there; only the retrained one can be left out")
        for name, known in references.items():
            if known.knows != KNOWS[name]:
                raise ValueError(f"{name}.knows must be {KNOWS[name]}: what it may depend on is not a choice")
        return references

    @field_validator("methods")
    @classmethod
    def _methods_have_files(cls, methods: dict[str, Start]) -> dict[str, Start]:
        for name in methods:
            if name not in known_methods():
                hint = did_you_mean(name, known_methods())
                raise ValueError(f"no file src/unlearning/methods/{name}.py{hint}")
        return methods

    @field_validator("audit")
    @classmethod
    def _audited_names_are_their_own(cls, audit: dict[str, Audited]) -> dict[str, Audited]:
        for name in audit:
            if not re.fullmatch(AUDITED_NAME, name):
                raise ValueError(f"{name!r} becomes the name of files; use letters, digits, _ and - alone")
            if not is_audited(name):
                raise ValueError(f"{name!r} is the name of another row or of a method; choose a name of its own")
        return audit

    @field_validator("downstream")
    @classmethod
    def _downstream_names_differ(cls, sets: list[DownstreamSet]) -> list[DownstreamSet]:
        names = [entry.name for entry in sets]
        if len(set(names)) < len(names):
            raise ValueError(f"each set needs a name of its own, for its metric; given are {', '.join(names)}")
        return sets

    @field_validator("lira")
    @classmethod
    def _shadows_are_pairs(cls, lira: LiRA) -> LiRA:
        if sorted(lira.shadows) != list(range(len(lira.shadows))) or len(lira.shadows) % 2:
            raise ValueError(f"shadows: give an even number, counted from 0: [0, 1, 2, 3], not {lira.shadows}")
        return lira

    @property
    def given(self) -> dict[str, Reference]:
        """Return every block that can name files of trained models, by its key."""
        audited = {f"audit.{name}": one for name, one in self.audit.items()}
        return {"original": self.original, "retrained": self.retrained, **audited}


KNOWS = {  # what training a reference depends on
    "original": "data/split",
    "retrained": "data/forget.json",
    "short_run": "data/forget.json",
}
REFERENCES = tuple(KNOWS)
ANOTHER = "another_retrained"  # the row of the noise floor: the next seed's retrained model beside this seed's
CONTROLS = ("head_distill", "fresh_head")  # methods that leave the original's backbone as it is: to test the scores by
EC_MODULES = "ec_modules"  # lies among the models, and is no row
AUDITED_NAME = "[A-Za-z0-9_][A-Za-z0-9_-]*"  # of a stage of DVC, and of files


def rows_of(params: Params) -> list[str]:
    """Return the models of the table in its order; the noise floor needs a retrained model and two seeds."""
    floor = [ANOTHER] if "retrained" in params.references and len(params.seeds) > 1 else []
    return [*params.references, *floor, *params.methods, *params.audit]


def is_audited(name: str) -> bool:
    """Return whether a row of this name was made elsewhere: it is neither a reference nor a method."""
    return name not in (*REFERENCES, ANOTHER, EC_MODULES, *known_methods())


def known_methods() -> list[str]:
    """Return the names of the method files, sorted."""
    spec = importlib.util.find_spec("unlearning.methods")
    folders = (spec and spec.submodule_search_locations) or []
    return sorted(path.stem for folder in folders for path in Path(folder).glob("[a-z]*.py"))
