"""Is a given model what it is given as? Checkpoints of this pipeline under names that are not theirs, and answers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.conftest import SHAPE
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, new_header, save_checkpoint
from unlearning.models.first_look import Answers
from unlearning.models.roles import refuse_knowing, refuse_other_role, refuse_same_model

PATH = Path("given.safetensors")


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(SHAPE)


def save(manifest: Manifest, stage: str) -> None:
    save_checkpoint(PATH, Checkpoint(new_header(SHAPE, manifest, stage, {}), model(), None))


def knowing(manifest: Manifest) -> Manifest:
    return replace(manifest, forget_classes=[])


def test_each_reference_may_be_given_as_itself(world: Manifest) -> None:
    save(knowing(world), "train@original")
    refuse_other_role(PATH, "original", world)
    save(world, "train@retrained")
    refuse_other_role(PATH, "retrained", world)


@pytest.mark.parametrize("stage", ["unlearn@ec", "train@retrained", "train@short_run", "audit@vendor"])
def test_what_was_made_without_the_classes_is_no_original(world: Manifest, stage: str) -> None:
    save(world, stage)
    with pytest.raises(InputError, match=rf"^original\.checkpoint: {PATH} was made by {stage} without class1, class4"):
        refuse_other_role(PATH, "original", world)


def test_the_result_of_an_earlier_request_is_the_original_of_the_next(world: Manifest) -> None:
    save(world, "unlearn@ec")
    second = replace(world, forget_classes=[2], erased_before=[1, 4])
    refuse_other_role(PATH, "original", second)
    with pytest.raises(InputError, match=r"name classes that an earlier request erased in forget\.before"):
        refuse_other_role(PATH, "original", replace(world, forget_classes=[2]))


def test_what_forgot_samples_of_this_request_is_no_original(world: Manifest) -> None:
    by_samples = replace(world, forget_classes=[], forget_samples=(1, 5, 9))
    save(by_samples, "unlearn@rl")
    with pytest.raises(InputError, match="was made by unlearn@rl without the samples of this request"):
        refuse_other_role(PATH, "original", by_samples)
    refuse_other_role(PATH, "original", replace(by_samples, forget_samples=(2, 3)))


@pytest.mark.parametrize(
    ("stage", "classes", "why"),
    [
        ("train@original", [], "was made by train@original, with class1, class4"),
        ("pretrain_ec", [], "was made by pretrain_ec, with class1, class4"),
        ("unlearn@ec", [1, 4], "was made by unlearn@ec: it has forgotten"),
        ("train@retrained", [1], "was made by train@retrained, with class4"),
    ],
)
def test_what_saw_the_classes_is_no_retrained_model(world: Manifest, stage: str, classes: list[int], why: str) -> None:
    save(replace(world, forget_classes=classes), stage)
    with pytest.raises(InputError, match=rf"^retrained\.checkpoint: {PATH} {why}"):
        refuse_other_role(PATH, "retrained", world)


def test_a_row_to_audit_and_a_file_from_elsewhere_may_be_anything(world: Manifest) -> None:
    save(world, "unlearn@ec")
    refuse_other_role(PATH, "audit.vendor", world)
    torch.save(model().state_dict(), "vendor.pth")
    refuse_other_role(Path("vendor.pth"), "original", world)


def test_original_and_retrained_are_not_one_model() -> None:
    refuse_same_model("retrained", PATH, model(0), model(1))
    with pytest.raises(InputError, match=r"^retrained\.checkpoint: given\.safetensors has the same weights"):
        refuse_same_model("retrained", PATH, model(0), model(0))


@pytest.mark.parametrize(("right", "outcome"), [(0, "silent"), (1, "warned"), (6, "refused"), (10, "refused")])
def test_a_retrained_model_answers_no_image_of_the_classes(world: Manifest, right: int, outcome: str) -> None:
    labels = torch.tensor([1] * 10 + [0] * 10)
    said = labels.clone()
    said[right:10] = 0
    answers = {"train": Answers(said, labels), "test": Answers(said[:0], labels[:0])}
    if outcome == "refused":
        with pytest.raises(InputError, match=r"knows the classes to forget \(class1, class4: .* trained with them"):
            refuse_knowing(PATH, answers, world)
    else:
        lines = refuse_knowing(PATH, answers, world)
        assert bool(lines) == (outcome == "warned")
        assert all("answers 10.0 %" in line for line in lines)


def test_of_samples_to_forget_a_model_is_not_asked(world: Manifest) -> None:
    answers = {name: Answers(torch.tensor([1]), torch.tensor([1])) for name in ("train", "test")}
    assert refuse_knowing(PATH, answers, replace(world, forget_classes=[], forget_samples=(0,))) == []
