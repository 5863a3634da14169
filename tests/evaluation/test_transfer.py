from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from tests.architectures import enliven
from tests.conftest import PARAMS, SHAPE
from unlearning.data.images import fit
from unlearning.data.manifest import Manifest
from unlearning.data.reading import read_image
from unlearning.engine.launch import launch
from unlearning.errors import InputError
from unlearning.evaluation.forward_pass import Pass
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, new_header, save_checkpoint
from unlearning.params import KNN, DownstreamSet, Params
from unlearning.params_file import load_params
from unlearning.transfer import knn_accuracy, transfer

CPU = torch.device("cpu")
PETS = DownstreamSet(name="pets", source="image_folder", root="pets")


def knn(k: int, features: str = "penultimate") -> KNN:
    return KNN(k=k, features=features, test_fraction=0.2, seed=2)


def directions(*degrees: float) -> Tensor:
    """Return vectors (n, 2) of these directions, each of a length of its own, which cosine does not see."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1) * torch.arange(1, len(degrees) + 1)[:, None]


def by_hand(labels: list[int], logits: Tensor, features: Tensor) -> Pass:
    count = len(labels)
    return Pass(torch.zeros(count).long(), torch.tensor(labels), torch.arange(count), logits, {"penultimate": features})


# Directions in degrees of four training and three test samples, in turns; the test samples' nearest neighbours follow.
IS_TRAIN = np.array([True, False, True, True, False, True, False])
LABELS = [0, 0, 0, 1, 1, 1, 0]
FEATURES = directions(0, 4, 10, 90, 80, 100, 60)  # 4: 0, 10, 90; 80: 90, 100, 10; 60: 90, 100, 10
LOGITS = directions(0, 88, 10, 90, 12, 100, 30)  # 88: 90, 100, 10; 12: 10, 0, 90; 30: 10, 0, 90


@pytest.mark.parametrize(
    ("k", "features", "expected"), [(1, "penultimate", 200 / 3), (3, "penultimate", 200 / 3), (3, "logits", 100 / 3)]
)
def test_the_accuracy_is_that_by_hand_on_the_asked_features(k: int, features: str, expected: float) -> None:
    one = by_hand(LABELS, LOGITS, FEATURES)
    assert knn_accuracy(one, IS_TRAIN, "pets", knn(k, features), CPU) == pytest.approx(expected)


@pytest.mark.parametrize(("train", "k", "test"), [(3, 4, 4), (0, 1, 7), (7, 3, 0), (4, 5, 3)])
def test_too_few_training_images_or_no_test_image_is_an_error_that_says_how_many_there_are(
    train: int, k: int, test: int
) -> None:
    with pytest.raises(InputError) as caught:
        knn_accuracy(by_hand(LABELS, LOGITS, FEATURES), np.arange(7) < train, "pets", knn(k), CPU)
    message = str(caught.value)
    assert message.startswith(f"downstream: pets has {train} training and {test} test images; k-NN needs at least ")
    assert message.endswith(f"knn.k = {k} and 1: give more images, or lower knn.k")


def test_as_many_training_images_as_neighbours_are_enough() -> None:
    all_vote = knn_accuracy(by_hand(LABELS, LOGITS, FEATURES), IS_TRAIN, "pets", knn(4), CPU)
    assert all_vote == pytest.approx(200 / 3)  # two against two, and a tie goes to the smaller class


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return enliven(build(SHAPE))


@pytest.fixture
def params() -> Params:
    """Return the repository's values, but for a single neighbour and small batches, read without worker processes."""
    params = load_params(PARAMS)
    return params.model_copy(
        update={
            "data": params.data.model_copy(update={"workers": 0}),
            "evaluate": params.evaluate.model_copy(update={"batch_size": 4}),
            "knn": knn(1),
            "downstream": [PETS],
        }
    )


def write_pets(classes: dict[str, list[int]], folder: str = "pets") -> list[Path]:
    """Write folder/<class>/<number>.png with pixels that the seed determines; returns the paths in order of the set."""
    paths = []
    for name, seeds in classes.items():
        for number, seed in enumerate(seeds):
            path = Path(folder) / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(seed).integers(0, 256, (11, 9 + number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
            paths.append(path)
    return paths


def accuracy_of(model: nn.Module, world: Manifest, params: Params) -> float:
    return transfer("ec", model, PETS, world, params, launch("fp32"))


@pytest.mark.parametrize(
    ("cats", "dogs", "expected"), [([1, 2], [5, 6], 100.0), ([5, 6], [1, 2], 0.0), ([1, 2], [5, 2], 75.0)]
)
def test_copies_of_training_images_are_given_the_class_of_their_originals(
    world: Manifest, model: nn.Module, params: Params, cats: list[int], dogs: list[int], expected: float
) -> None:
    write_pets({"train/cat": [0, 1, 2, 3], "train/dog": [4, 5, 6, 7]})
    for name, seeds in (("cat", cats), ("dog", dogs)):
        for seed in seeds:
            copy = Path("pets/test", name, f"{seed}.png")
            copy.parent.mkdir(parents=True, exist_ok=True)
            original = Path("pets/train", "cat" if seed < 4 else "dog", f"{seed % 4}.png")
            copy.write_bytes(original.read_bytes())
    assert accuracy_of(model, world, params) == expected


def images_seen(model: nn.Module) -> list[Tensor]:
    """Return a list that each later forward pass of the model adds its images to."""
    seen: list[Tensor] = []
    model.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].cpu()))
    return seen


def test_each_image_goes_through_the_model_exactly_once(world: Manifest, model: nn.Module, params: Params) -> None:
    paths = write_pets({"cat": [0, 1, 2], "dog": [3, 4, 5, 6], "emu": [7, 8, 9]})
    seen = images_seen(model)
    accuracy_of(model, world, params)
    assert [len(images) for images in seen] == [4, 4, 2]
    grey = torch.stack([fit(transforms.rgb_to_grayscale(read_image(path)), world.image_size) for path in paths])
    torch.testing.assert_close(torch.cat(seen), (grey / 255 - world.mean[0]) / world.std[0])


def test_no_more_than_max_samples_images_are_looked_at(world: Manifest, model: nn.Module, params: Params) -> None:
    write_pets({"cat": [*range(8)], "dog": [*range(8, 16)]})
    seen = images_seen(model)
    bound = params.evaluate.model_copy(update={"max_samples": 9})
    accuracy_of(model, world, params.model_copy(update={"evaluate": bound}))
    assert sum(len(images) for images in seen) == 9


def test_the_accuracy_is_the_same_each_time(world: Manifest, model: nn.Module, params: Params) -> None:
    write_pets({"cat": [*range(20)], "dog": [*range(20, 40)]})
    first, again = (accuracy_of(model, world, params) for _ in range(2))
    assert first == again


def test_a_broken_model_is_named_with_the_set(world: Manifest, model: nn.Module, params: Params) -> None:
    write_pets({"cat": [0, 1], "dog": [2]})
    with torch.no_grad():
        model.layer2[0].conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match=r"^ec on the downstream set pets: the features of penultimate hold NaN"):
        accuracy_of(model, world, params)


def test_a_list_without_an_image_is_an_error(world: Manifest, model: nn.Module, params: Params) -> None:
    Path("domains").mkdir()
    Path("domains/real_list.txt").write_text("\n")
    entry = DownstreamSet(name="real", source="domainnet126", root="domains", domain="real")
    with pytest.raises(InputError, match="real"):
        transfer("ec", model, entry, world, params, launch("fp32"))


@pytest.fixture
def saved(world: Manifest, model: nn.Module) -> None:
    save_checkpoint(Path("models/ec.safetensors"), Checkpoint(new_header(SHAPE, world, "unlearn@ec", {}), model, None))


def with_sets(params: Params, *entries: DownstreamSet) -> Params:
    return params.model_copy(update={"downstream": list(entries)})
