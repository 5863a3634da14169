"""A request by nearness to a downstream set: the list that is written is one that `forget.file` reads."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.architectures import enliven
from tests.conftest import PARAMS, SHAPE
from unlearning.data.manifest import Manifest, load_manifest, load_samples
from unlearning.errors import InputError
from unlearning.models.backbone import build
from unlearning.params import DownstreamSet, Params
from unlearning.params_file import load_params
from unlearning.rank_classes import counted, most_frequent, rank_classes
from unlearning.splitting.classes import forget_classes


@pytest.mark.parametrize(
    ("predicted", "count", "expected"),
    [([3, 9, 0, 5], 2, [1, 3]), ([3, 9, 0, 5], 3, [1, 3, 0]), ([4, 1, 4, 4], 3, [0, 2, 3])],
)
def test_the_most_frequent_come_first_and_of_equal_ones_the_first(
    predicted: list[int], count: int, expected: list[int]
) -> None:
    assert most_frequent(torch.tensor(predicted), count) == expected


def test_a_class_that_is_never_predicted_is_not_ranked() -> None:
    with pytest.raises(InputError, match="--count 4: only 3 classes are predicted for any image"):
        most_frequent(torch.tensor([3, 9, 0, 5]), 4)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Tensor]:
    """Let seed s answer class `value of the pixels // 40 + s`; return that rule."""

    class Answering(torch.nn.Module):
        def __init__(self, seed: int, model: torch.nn.Module) -> None:
            super().__init__()
            self.seed, self.model = seed, model

        def forward(self, images: Tensor) -> Tensor:
            self.model(images)
            return torch.nn.functional.one_hot(rule(images, self.seed), 6).float()

        def __getattr__(self, name: str) -> object:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(super().__getattr__("model"), name)

    def rule(images: Tensor, seed: int) -> Tensor:
        value = (images.mean(dim=(1, 2, 3)) * 0.3 + 0.3) * 255
        return ((value / 40).long() + seed) % 6

    class Loaded:
        def __init__(self, seed: int) -> None:
            self.model = Answering(seed, enliven(build(SHAPE)))

    monkeypatch.setattr("unlearning.rank_classes.load_model", lambda _, seed, __: Loaded(seed))
    return rule


@pytest.fixture
def params(monkeypatch: pytest.MonkeyPatch) -> Params:
    entry = DownstreamSet(name="shades", source="image_folder", root="shades")
    params = load_params(PARAMS)
    data = params.data.model_copy(update={"workers": 0})
    params = params.model_copy(update={"data": data, "downstream": [entry], "seeds": [0, 1]})
    monkeypatch.setattr("unlearning.rank_classes.load_params", lambda: params)
    return params


@pytest.fixture
def shades(world: Manifest) -> Manifest:
    """Write grey images: two of class 1 by seed 0, three of class 3, one of class 4."""
    for number, value in enumerate([50, 60, 130, 140, 150, 170]):
        path = Path("shades") / "any" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), value, dtype=np.uint8)).save(path)
    return world


@pytest.mark.usefixtures("answers", "shades")
def test_predictions_of_all_seeds_are_counted_together(params: Params) -> None:
    predicted, images = counted("shades", params, load_samples())
    assert images == 6
    assert predicted.tolist() == [0, 2, 2, 3, 4, 1]  # seed 0: 1 1 3 3 3 4; seed 1: each one further


@pytest.mark.usefixtures("answers", "shades", "params")
def test_the_list_is_one_that_a_request_reads() -> None:
    said = rank_classes("shades", 3, Path("lists/near.txt"))
    text = Path("lists/near.txt").read_text(encoding="utf-8")
    assert text.splitlines()[1:] == ["'class4'  # 4 times", "'class3'  # 3 times", "'class1'  # 2 times"]
    assert "6 images of shades, 2 seeds counted together" in text
    assert said == "lists/near.txt: 3 of 6 classes; to forget them: forget.scenario: file, forget.file: lists/near.txt"
    request = load_params(PARAMS).forget.model_copy(update={"scenario": "file", "file": "lists/near.txt"})
    assert forget_classes(request, load_manifest().classes) == [1, 3, 4]


@pytest.mark.usefixtures("world")
def test_an_unknown_set_is_refused_with_those_there_are(params: Params) -> None:
    with pytest.raises(InputError, match=r"no set named 'shade'; there are shades \(did you mean 'shades'\?\)"):
        counted("shade", params, load_samples())


@pytest.mark.usefixtures("world", "params", "shades")
def test_without_an_original_it_says_so() -> None:
    with pytest.raises(InputError, match="models/original/0.safetensors"):
        rank_classes("shades", 1, Path("near.txt"))
    assert not Path("near.txt").exists()
