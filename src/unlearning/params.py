"""Typed, validated view of params.yaml: the one place where the shape of every value is written down.

Values live in params.yaml alone: no default is repeated here. `params_file` reads the file into these blocks.
"""

import importlib.util
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from unlearning.errors import did_you_mean

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=1)]
Times = Annotated[int, Field(ge=1, le=100_000)]  # how often something is done: a larger number is a slip that hangs
Scalar = bool | int | float | str | None


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("this is empty text; to give no value write null (-S <key>=null), or leave it out in the file")
    return text


def _distinct(names: list[str]) -> list[str]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands twice; name each layer once")
    return names


Text = Annotated[str, AfterValidator(_not_empty)]
Layers = Annotated[list[str], AfterValidator(_distinct)]


class Block(BaseModel):
    """A block of params.yaml: every key required, unknown keys and wrong types refused, values immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Data(Block):
    name: str
    root: Text
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    validation_fraction: Fraction
    seed: int
    image_size: Annotated[int, Field(ge=4, le=4096)]
    eval_resize: Annotated[list[Annotated[int, Field(le=4096)]], Field(max_length=2)]
    mean: list[float] | None
    std: list[Positive] | None
    resident_gb: NonNegative
    workers: Annotated[int, Field(ge=0, le=256)]

    @field_validator("eval_resize")
    @classmethod
    def _holds_the_crop(cls, sides: list[int], block: ValidationInfo) -> list[int]:
        if any(side < block.data.get("image_size", 0) for side in sides):
            raise ValueError("each side should be at least image_size, which is cut out of its middle")
        return sides

    @field_validator("mean", "std")
    @classmethod
    def _of_pixels_up_to_1(cls, values: list[float] | None) -> list[float] | None:
        if any(abs(value) > 1 for value in values or ()):
            raise ValueError("these are of pixels in 0..1; divide what is of pixels in 0..255 by 255")
        return values


READ_A_FILE = ("file", "samples")  # scenarios of `forget`


class Forget(Block):
    scenario: str
    count: Count
    seed: int
    classes: list[int | str]
    file: Text | None
    share: Annotated[float, Field(gt=0, lt=1)]
    before: list[int | str]

    @property
    def list_file(self) -> str | None:
        """The file that the scenario reads, if it reads one."""
        return self.file if self.scenario in READ_A_FILE else None


class Model(Block):
    name: str
    kwargs: dict[str, Scalar | list[Scalar]]
    small_stem: Literal[1, 2] | None
    pretrained: bool | Text


class Reference(Block):
    checkpoint: Text | list[Text] | None  # one file for all seeds, or one a seed
    sha256: str | list[str] | None
    checkpoint_key: str | None  # where a file holds several sets of weights

    @model_validator(mode="after")
    def _a_hash_for_each_file(self) -> "Reference":
        a_list_for_one = isinstance(self.sha256, list) and not isinstance(self.checkpoint, list)
        if self.sha256 is not None and (a_list_for_one or len(_listed(self.sha256)) != len(self.files)):
            raise ValueError("sha256: give one for each file of checkpoint, in the same order")
        return self

    @property
    def files(self) -> list[Path]:
        """The checkpoints, none, one for all seeds or one a seed, as they are opened."""
        return [Path(file.strip()).expanduser() for file in _listed(self.checkpoint)]

    def file_for(self, repetition: int) -> tuple[str | None, str | None]:
        """Return path and hash for the seed that stands at place `repetition` of `seeds:`."""
        return _item(self.checkpoint, repetition), _item(self.sha256, repetition)


class Audited(Reference):
    """A model made elsewhere, as a row of the table; only its file must be given."""

    checkpoint: Text | list[Text]
    sha256: str | list[str] | None = None
    checkpoint_key: str | None = None


def _listed(given: str | list[str] | None) -> list[str]:
    return given if isinstance(given, list) else [given] if given else []


def _item(given: str | list[str] | None, number: int) -> str | None:
    return given[number] if isinstance(given, list) else given


class Augment(Block):
    padding: Annotated[int, Field(ge=0, le=4096)]
    min_area: Annotated[float, Field(gt=0, le=1)]
    flip: Probability
    jitter: Annotated[float, Field(ge=0, lt=1)]
    grayscale: Probability


class Recipe(Block):
    """How a network is optimised: shared by training, EC-module pre-training and every unlearning method."""

    epochs: Times
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: str
    lr: Positive
    momentum: Fraction
    weight_decay: NonNegative
    schedule: str
    milestones: list[Count]  # of `step` alone: when so many epochs of a phase are done, lr is multiplied by `decay`
    decay: Annotated[float, Field(gt=0, lt=1)]  # of `step` alone
    warmup: Fraction
    clip_norm: Positive | None
    augment: Augment

    @field_validator("milestones")
    @classmethod
    def _steps_ascend(cls, milestones: list[int], block: ValidationInfo) -> list[int]:
        if block.data.get("schedule") == "step" and not milestones:
            raise ValueError("the schedule `step` needs the epochs after which it lowers lr; give them, or `constant`")
        if milestones != sorted(set(milestones)):
            raise ValueError("these epochs should ascend")
        return milestones


class UnlearnRecipe(Recipe):
    stop_at_forget_acc: Percent | None  # ends after the epoch in which the training forget accuracy reaches it


class Train(Recipe):
    label_smoothing: Fraction


class ShortRun(Block):
    share: Annotated[float, Field(gt=0, lt=1)]


class PretrainEC(Recipe):
    tau: Positive


class Start(Block):
    start: Literal["original", "ec_modules"]


class Evaluate(Block):
    split: Literal["test", "validation"]
    batch_size: Count
    layers: Layers | None
    max_samples: Annotated[int, Field(ge=8)]
    shared_samples: Annotated[int, Field(ge=8)]
    seed: int


class LinearProbe(Block):
    small_fraction: Annotated[float, Field(gt=0, le=1)]
    layer_samples: Count
    l2: NonNegative
    steps: Times


class Attacks(Block):
    shots: list[Count]
    max_samples: Count
    seed: int


class Prototype(Block):
    draws: Times
    false_alarms: Annotated[float, Field(gt=0, lt=1)]


class FineTuning(Block):
    """A few plain steps on a copy of the model, as an attacker makes them."""

    steps: Times
    batch_size: Annotated[int, Field(ge=2)]
    momentum: Fraction
    clip_norm: Positive
    augment: Augment


class Relearn(FineTuning):
    draws: Times
    lrs: Annotated[list[Positive], Field(min_length=1)]
    survives: Probability
    head_samples: Count


class RetainOnly(FineTuning):
    lr: Positive


class BatchNormAttack(Block):
    batches: Times
    batch_size: Annotated[int, Field(ge=2)]


class CKA(Block):
    estimator: Literal["full", "minibatch", "debiased"]


class KNN(Block):
    k: Count
    features: Literal["penultimate", "logits"]
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    seed: int


class DownstreamSet(Block):
    name: str  # in the metrics: knn.<name>
    source: str
    root: Text
    domain: str | None = None  # of office_home and domainnet126
    split: Literal["official", "random"] = "official"  # random: `knn.test_fraction` also where there is an official one


class LiRA(Block):
    shadows: list[Annotated[int, Field(ge=0)]]
    seed: int


class Predictors(Block):
    points: Times
    max_samples: Count
    seed: int


class RMIA(Block):
    gamma: Annotated[float, Field(ge=1)]
    offline_a: Annotated[float, Field(ge=0, le=1)]


class Figures(Block):
    models: list[str]
    forget_class: int | str | None
    queries: Annotated[int, Field(ge=0, le=100_000)]
    neighbours: Times
    photos: bool
    seed: int


class CrossFitted(Block):
    critic: Literal["linear", "kernel"]
    folds: Annotated[int, Field(ge=2, le=1000)]
    rank: Count
    landmarks: Count


class InfoNCE(Block):
    held_out: Annotated[float, Field(gt=0, lt=1)]
    dimension: Count
    batch_size: Annotated[int, Field(ge=2)]
    epochs: Times
    max_steps_per_epoch: Times
    lr_features: Positive
    lr_labels: Positive


class MutualInformation(Block):
    layers: Layers | None
    max_samples: Annotated[int, Field(ge=8)]
    estimator: Literal["cross_fitted", "info_nce"]
    trials: Times
    seed: int
    cross_fitted: CrossFitted
    info_nce: InfoNCE


class IDI(Block):
    estimate: Literal["held_out", "train"]
    floor: Positive


class Search(Block):
    criterion: Literal["h_mean", "closeness", "accuracy"]
    trials: Times
    repetitions: Times | None
    give_up: Positive
    max_samples: Annotated[int, Field(ge=4)]
    precisions: Annotated[list[Literal["bf16", "fp32"]], Field(min_length=1)]
    lr_min: Positive
    lr_max: Positive
    epochs_max: Times
    forget_weight: Positive

    @field_validator("lr_max")
    @classmethod
    def _above_the_lowest(cls, lr_max: float, block: ValidationInfo) -> float:
        if lr_max < block.data.get("lr_min", 0.0):
            raise ValueError(f"this should be at least lr_min, {block.data['lr_min']}")
        return lr_max


class Known(Block):
    knows: str


class Params(Block):
    """The blocks that every run shares; each method's own block is read by `method_config`."""

    seeds: Annotated[list[int], Field(min_length=1)]
    precision: Literal["auto", "bf16", "fp32"]
    inputs: Literal["times", "content", "kept"]
    checkpoint_minutes: Positive
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
    audit: dict[str, Audited]
    headline: str
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
    downstream: list[DownstreamSet]
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

    @model_validator(mode="after")
    def _a_checkpoint_for_each_seed(self) -> "Params":
        for key, one in self.given.items():
            given = one.checkpoint
            if isinstance(given, list) and len(given) != len(self.seeds):
                counts = f"{len(given)} files for {len(self.seeds)} seeds"
                raise ValueError(f"{key}.checkpoint: {counts}; give one for each, or one for all")
        return self

    @model_validator(mode="after")
    def _given_files_are_not_those_that_a_run_writes_anew(self) -> "Params":
        written = {Path("models", name).absolute() for name in ("ec_modules", *self.references, *self.methods)}
        for key, one in self.given.items():
            own = next((file for file in one.files if file.absolute().parent in written), None)
            if own is not None:
                raise ValueError(f"{key}.checkpoint: {own} is removed and written anew by this run; give a copy of it")
        return self

    @model_validator(mode="after")
    def _what_was_erased_before_was_erased_from_a_given_model(self) -> "Params":
        if self.forget.before and self.original.checkpoint is None:
            raise ValueError(
                "forget.before: an original trained here would never have known these classes; give the model that "
                "they were erased from as original.checkpoint"
            )
        return self

    @model_validator(mode="after")
    def _shadow_models_answer_on_the_images_that_judge(self) -> "Params":
        if self.lira.shadows and self.evaluate.split != "test":
            raise ValueError(
                f"evaluate.split: the shadow models of lira.shadows answer on the test images, not on "
                f"{self.evaluate.split}; set lira.shadows to [] for the time being, or evaluate.split to test"
            )
        return self

    @model_validator(mode="after")
    def _named_models_are_rows(self) -> "Params":
        rows = [*self.references, *self.methods, *self.audit]
        named = [("headline", self.headline), *(("figures.models", name) for name in self.figures.models)]
        for key, name in named:
            if name not in rows:
                hint = did_you_mean(name, rows)
                raise ValueError(f"{key}: {name!r} is none of the models {', '.join(rows)}{hint}")
        return self

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
