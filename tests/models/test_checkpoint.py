import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import unlearning.sealed_tensors as file_module
from tests.architectures import SMALL
from unlearning.data.batches import save_pixels
from unlearning.data.manifest import Manifest, save_manifest
from unlearning.errors import InputError
from unlearning.files import sha256_of
from unlearning.models.backbone import build
from unlearning.models.checkpoint import (
    Checkpoint,
    load_checkpoint,
    model_weights,
    new_header,
    read_header,
    save_checkpoint,
)
from unlearning.models.ec_modules import ec_modules
from unlearning.models.header import HEADER

PARAMS = {"lr": 0.1, "epochs": 3, "augment": {"flip": 0.5, "min_area": 1.0}, "layer_weights": [0.2, 1.0], "clip": None}
PATH = Path("models/original.safetensors")

SAVE_AGAIN = """
import sys
from pathlib import Path
from unlearning.data.batches import save_pixels
from unlearning.data.manifest import load_manifest
from unlearning.models.checkpoint import load_checkpoint, save_checkpoint
save_checkpoint(Path(sys.argv[2]), load_checkpoint(Path(sys.argv[1]), load_manifest()))
"""


@pytest.fixture
def checkpoint(small: nn.Module, manifest: Manifest, folder: Path) -> Checkpoint:  # noqa: ARG001
    torch.manual_seed(1)
    return Checkpoint(new_header(SMALL, manifest, "unlearn@ec", PARAMS, "0123abc"), small, ec_modules(small))


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    assert list(one.state_dict()) == list(other.state_dict())
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_round_trip_keeps_header_weights_and_modules(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    loaded = load_checkpoint(PATH, manifest)
    assert loaded.header == checkpoint.header
    assert_same_weights(loaded.model, checkpoint.model)
    assert_same_weights(loaded.modules, checkpoint.modules)


def test_loaded_model_gives_the_same_logits_in_eval_mode(
    checkpoint: Checkpoint, manifest: Manifest, images: Tensor
) -> None:
    save_checkpoint(PATH, checkpoint)
    loaded = load_checkpoint(PATH, manifest).model
    assert not any(module.training for module in loaded.modules())
    with torch.no_grad():
        assert torch.equal(loaded(images), checkpoint.model(images))


def test_checkpoint_without_modules_has_none(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, replace(checkpoint, modules=None))
    assert load_checkpoint(PATH, manifest).modules is None


def test_header_says_where_the_model_comes_from(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    header = read_header(PATH)
    assert header == checkpoint.header
    assert (header.architecture, header.stage, header.params, header.source) == (SMALL, "unlearn@ec", PARAMS, "0123abc")
    assert (header.classes, header.forget_classes, header.split) == (manifest.classes, [1], manifest.hash)
    assert (header.mean, header.std) == ([0.5] * 3, [0.25] * 3)


def test_model_weights_are_the_classifiers_alone(checkpoint: Checkpoint) -> None:
    save_checkpoint(PATH, checkpoint)
    weights = model_weights(PATH)
    assert set(weights) == set(checkpoint.model.state_dict())
    assert torch.equal(weights["fc.weight"], checkpoint.model.fc.weight)


def test_memory_format_and_half_precision_do_not_reach_the_file(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    plain = PATH.read_bytes()
    checkpoint.model.to(memory_format=torch.channels_last)
    save_checkpoint(PATH, checkpoint)
    assert PATH.read_bytes() == plain
    checkpoint.model.half()
    save_checkpoint(PATH, checkpoint)
    assert load_checkpoint(PATH, manifest).model.fc.weight.dtype == torch.float32


def test_same_content_gives_the_same_bytes(checkpoint: Checkpoint) -> None:
    reordered = replace(checkpoint.header, params=dict(reversed(PARAMS.items())))
    for number in range(4):
        save_checkpoint(Path(f"{number}.safetensors"), checkpoint)
    save_checkpoint(Path("4.safetensors"), replace(checkpoint, header=reordered))
    assert len({Path(f"{number}.safetensors").read_bytes() for number in range(5)}) == 1


def test_other_content_gives_other_bytes(checkpoint: Checkpoint) -> None:
    save_checkpoint(Path("one.safetensors"), checkpoint)
    save_checkpoint(Path("two.safetensors"), replace(checkpoint, header=replace(checkpoint.header, stage="other")))
    assert Path("one.safetensors").read_bytes() != Path("two.safetensors").read_bytes()


def test_another_process_with_another_hash_seed_writes_the_same_bytes(
    checkpoint: Checkpoint, manifest: Manifest
) -> None:
    for name in manifest.splits:
        save_pixels(name, torch.zeros(5, 3, 1, 1, dtype=torch.uint8))
    save_manifest(manifest)
    save_checkpoint(PATH, checkpoint)
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    subprocess.run(
        [sys.executable, "-c", SAVE_AGAIN, str(PATH), "again.safetensors"],
        env=os.environ | {"PYTHONHASHSEED": seed},
        check=True,
    )
    assert Path("again.safetensors").read_bytes() == PATH.read_bytes()


def test_missing_checkpoint_is_named_with_the_way_to_make_it(manifest: Manifest, folder: Path) -> None:  # noqa: ARG001
    with pytest.raises(InputError, match=r"no checkpoint models/original\.safetensors; run the stage"):
        load_checkpoint(PATH, manifest)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_truncated_checkpoint_is_broken(checkpoint: Checkpoint, manifest: Manifest, share: float) -> None:
    save_checkpoint(PATH, checkpoint)
    content = PATH.read_bytes()
    PATH.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"original\.safetensors is not a checkpoint.*broken"):
        load_checkpoint(PATH, manifest)


def test_checkpoint_of_other_classes_is_refused(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    with pytest.raises(InputError, match=r"original\.safetensors was trained on other classes"):
        load_checkpoint(PATH, replace(manifest, classes=["ant", "bee", "cat", "dog", "eel"]))


def test_checkpoint_of_another_split_is_refused(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    other = replace(manifest, content="other pixels")
    with pytest.raises(InputError, match=rf"split {manifest.hash}, .* is split {other.hash}"):
        load_checkpoint(PATH, other)


def test_checkpoint_of_other_forget_classes_is_refused(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    with pytest.raises(
        InputError, match=r"made to forget the classes \[1\], data/forget\.json names the classes \[2\]"
    ):
        load_checkpoint(PATH, replace(manifest, forget_classes=[2]))


@pytest.mark.parametrize(("made_with", "asked_for"), [([], [2]), ([1], [])])
def test_a_model_or_a_stage_that_knows_no_forget_classes_fits_any(
    checkpoint: Checkpoint, manifest: Manifest, made_with: list[int], asked_for: list[int]
) -> None:
    save_checkpoint(PATH, replace(checkpoint, header=replace(checkpoint.header, forget_classes=made_with)))
    assert load_checkpoint(PATH, replace(manifest, forget_classes=asked_for)).header.forget_classes == made_with


def test_safetensors_without_header_is_refused(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_file(checkpoint.model.state_dict(), "plain.safetensors", metadata={"format": "pt"})
    assert read_header(Path("plain.safetensors")) is None
    with pytest.raises(InputError, match=r"plain\.safetensors has no header of this pipeline"):
        load_checkpoint(Path("plain.safetensors"), manifest)


def test_checkpoint_of_another_version_is_refused(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    with safe_open(PATH, framework="pt") as file:
        text = file.metadata()[HEADER]
    assert '"unlearning-2"' in text
    save_file(model_weights(PATH), PATH, metadata={HEADER: text.replace("unlearning-2", "unlearning-0")})
    with pytest.raises(InputError, match="another version of this pipeline"):
        load_checkpoint(PATH, manifest)


def test_weights_of_another_model_under_this_header_are_refused(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    with safe_open(PATH, framework="pt") as file:
        text = file.metadata()[HEADER]
    other = {f"model.{name}": value + 1 for name, value in model_weights(PATH).items()}
    save_file(other, PATH, metadata={HEADER: text})
    with pytest.raises(InputError, match=r"original\.safetensors .*its tensors are not those that were written"):
        load_checkpoint(PATH, manifest)
    with pytest.raises(InputError, match=r"original\.safetensors .*its tensors are not those that were written"):
        model_weights(PATH)


def test_the_header_says_of_which_file_the_model_came(checkpoint: Checkpoint, manifest: Manifest) -> None:
    save_checkpoint(PATH, checkpoint)
    first = load_checkpoint(PATH, manifest)
    assert first.sha256 == sha256_of(PATH)
    second_path = Path("models/ec_modules/0.safetensors")
    header = new_header(SMALL, manifest, "pretrain_ec", {}, seed=0, start=first)
    save_checkpoint(second_path, Checkpoint(header, first.model, None))
    second = load_checkpoint(second_path, manifest)
    third = new_header(SMALL, manifest, "unlearn@ec", {}, seed=0, start=second)
    assert (second.header.came_from, second.header.original) == (first.sha256, first.sha256)
    assert (third.came_from, third.original) == (second.sha256, first.sha256)


def test_weights_that_contradict_the_header_are_refused(checkpoint: Checkpoint, manifest: Manifest) -> None:
    deeper = replace(SMALL, kwargs=SMALL.kwargs | {"layers": [1, 1, 1, 2]})
    save_checkpoint(PATH, replace(checkpoint, model=build(deeper)))
    with pytest.raises(InputError, match=r"another architecture.*layer4\.1"):
        load_checkpoint(PATH, manifest)


def test_interrupted_write_leaves_the_old_file_and_nothing_else(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(PATH, checkpoint)
    before = PATH.read_bytes()

    def interrupted(tensors: dict[str, Tensor], path: Path, **options: object) -> None:
        save_file(tensors, path, **options)
        os.truncate(path, 1000)
        raise KeyboardInterrupt

    monkeypatch.setattr(file_module, "save_file", interrupted)
    nn.init.zeros_(checkpoint.model.fc.weight)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(PATH, checkpoint)
    assert PATH.read_bytes() == before
    assert list(PATH.parent.iterdir()) == [PATH]
