"""`python -m unlearning.check`: what would end a run after hours is named before anything runs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.conftest import PARAMS, changed
from unlearning import check
from unlearning.errors import InputError

VALUES = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
SMALL = {"methods": {"cu": {"start": "original"}, "ec": {"start": "ec_modules"}}}
RENEW, UNSC = (
    {"methods": {name: {"start": "original"}}, "headline": name, "figures.models": [name]} for name in ("renew", "unsc")
)
EARLIER = {"original.checkpoint": __file__, "forget.scenario": "classes", "forget.classes": [5]}
Refusal = Callable[[dict[str, Any]], str]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Return a function that checks params.yaml with the values at dotted keys replaced, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(changes: dict[str, Any]) -> None:
        Path("params.yaml").write_text(yaml.safe_dump(changed(VALUES, {**SMALL, **changes})), encoding="utf-8")
        check.check_all()

    return run


@pytest.fixture
def refusal(checked: Callable[[dict[str, Any]], None]) -> Refusal:
    """Return a function that gives the one line with which changed values are refused."""

    def run(changes: dict[str, Any]) -> str:
        with pytest.raises(InputError) as caught:
            checked(changes)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        assert len(message) <= 500
        return message.removeprefix("params.yaml: ")

    return run


@pytest.fixture
def photos(tmp_path: Path) -> str:
    """Write a tree of photos of 120 x 100 px and return its root."""
    for name in ("cat", "dog", "owl"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (120, 100)).save(folder / f"{number}.png")
    return str(tmp_path / "photos")


def test_the_repositorys_own_file_passes(checked: Callable[[dict[str, Any]], None]) -> None:
    checked({"methods": VALUES["methods"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.optimizer": "sdg"}, "train.optimizer: 'sdg' is none of sgd, adam, adamw (did you mean 'sgd'?)"),
        ({"ec.optimizer": "adamx"}, "ec.optimizer: 'adamx' is none of "),
        ({"cu.schedule": "cosin"}, "cu.schedule: 'cosin' is none of "),
        ({"forget.scenario": "class"}, "forget.scenario: 'class' is none of random, classes, file"),
        ({"ec.augment.padding": 8}, "ec.augment.padding: 8 px would shift images of 8 px (data.image_size) out of"),
        ({"relearn.augment.padding": 9}, "relearn.augment.padding: 9 px"),
        ({"model.name": "resnet81"}, "model.name: timm has no model 'resnet81'; near it are resnet18, "),
        (
            {"model.name": "cspresnet50d", "model.kwargs": {}, "model.small_stem": None, "model.pretrained": True},
            "model.pretrained: timm has no weights of 'cspresnet50d'; give false or the path of a file",
        ),
        (
            {"model.kwargs": {"layer": [1]}},
            "model.kwargs.layer: it cannot be set here; only what shapes a network is taken (",
        ),
        ({"model.kwargs": {"patch_size": 4}}, "model.kwargs.patch_size: resnet18 takes no such argument; take it out"),
        ({"model.kwargs": {"layers": [100_000] * 4}}, "model.kwargs.layers: 400,000 blocks; 500 are more than any"),
        ({"model.kwargs": {"channels": [0, 0, 0, 0]}}, "model.kwargs: resnet18 with them has nothing in "),
        ({"cu": [1]}, "cu: keys with values were expected, not [1]"),
        ({"train": 5}, "train: keys with values were expected, not 5"),
        ({"model.kwargs": {"global_pool": ""}}, "model: resnet18 does not take images of 8 px"),
        (
            {"model.kwargs": {"num_classes": 3}},
            "model.kwargs.num_classes: it cannot be set here; the data says how many",
        ),
        ({"model.name": "hf-hub:a/b"}, "model.name: timm has no model 'hf-hub:a/b'"),
        ({"model.name": "local-dir:/tmp"}, "model.name: timm has no model 'local-dir:/tmp'"),
        (
            {"model.name": "inception_v3", "model.kwargs": {}, "model.small_stem": None},
            "data.image_size: inception_v3 does not take images of 8 px (",
        ),
        (
            {"model.name": "gmixer_12_224", "model.kwargs": {}, "data.image_size": 224},
            "model.small_stem: gmixer_12_224 cannot do with a 3x3 stem (",
        ),
        (
            {**RENEW, "renew.shares": [0.0, 1.0]},
            "renew.shares: 2 shares for 4 stages (layer1, layer2, layer3, layer4) and the",
        ),
        (
            {**RENEW, "renew.layer_weights": [1.0]},
            "renew.layer_weights: 1 weights for 4 stages",
        ),
        (
            {**UNSC, "unsc.weight_decay": 0.1},
            "unsc.weight_decay: it would move weights outside the null space; set it to 0.0",
        ),
        (
            {**UNSC, "unsc.optimizer": "adam"},
            "unsc.optimizer: adam would turn steps out of the null space; use sgd",
        ),
        (
            {"budget.steps": 100},
            "train: 560 steps (20 epochs, 1,797 images, 64 a batch) are more than budget.steps ",
        ),
        ({"budget.memory_gb": 0.00001}, "train.batch_size: 2 x 64 images x "),
        ({"budget.memory_gb": 0.00001, "data.image_size": 64}, "train.batch_size: "),
        ({"budget.disk_gb": 0.1}, "seeds: 5 models x 3 seeds x "),
        ({"model.name": "vit_tiny_patch16_224", "model.kwargs": {}}, "model.small_stem: "),
        ({"evaluate.layers": ["layer5"]}, "evaluate.layers: the model has no layer 'layer5' (did you mean 'layer"),
        ({"evaluate.layers": [""]}, "evaluate.layers: the model has no layer ''"),
        ({"evaluate.layers": ["fc"]}, "evaluate.layers: 'fc' "),
        ({"evaluate.layers": ["layer1", "layer1"]}, "evaluate.layers: 'layer1' stands twice; name each layer once"),
        ({"mutual_information.layers": ["layer9"]}, "mutual_information.layers: the model has no layer 'layer9'"),
        ({"ec.layer_weights": [1.0]}, "ec.layer_weights: 1 weights for 4 supervision points (layer1, layer2, layer3, "),
        ({"ec.extra_points": ["layer7.0"]}, "ec.extra_points: the model has no layer 'layer7.0'"),
        ({"data.name": "digit"}, "data.name: 'digit' is none of "),
        ({"data.name": "image_folder", "data.root": "nowhere"}, "data.root: no folder nowhere"),
        ({"forget.count": 10}, "forget.count: 10 of 10 classes leaves none to retain"),
        ({"data.name": "cifar10", "data.image_size": 32, "forget.count": 10}, "forget.count: 10 of 10 classes"),
        (
            {"data.name": "cifar10", "forget.scenario": "classes", "forget.classes": [3, 10]},
            "forget.classes: no class 10; there are 10, 0 to 9",
        ),
        ({"forget.before": [3]}, "forget.before: an original trained here would never have known these classes; give "),
        (
            {"data.name": "cifar10", "data.image_size": 32, **EARLIER, "forget.before": [10]},
            "forget.before: no class 10; there are 10, 0 to 9",
        ),
        ({**EARLIER, "forget.before": ["ten"]}, "forget.before: no class 'ten'"),
        ({**EARLIER, "forget.before": [5]}, "forget.before: '5' would be forgotten by this request too"),
        ({"forget.scenario": "classes", "forget.classes": ["ten"]}, "forget.classes: no class 'ten'"),
        ({"forget.scenario": "file", "forget.file": "absent.txt"}, "forget.file: cannot read absent.txt"),
        ({"original.checkpoint": "mine.pt"}, "original.checkpoint: no file mine.pt; it was looked for in /"),
        ({"retrained.checkpoint": ["a", "b", "c"]}, "retrained.checkpoint: no file a; "),
        (
            {"audit": {"vendor": {"checkpoint": "v.pt"}}},
            "audit.vendor.checkpoint: no file v.pt; it was",
        ),
        (
            {"original.checkpoint": "models/cu/0.safetensors"},
            "original.checkpoint: models/cu/0.safetensors is removed and written anew by this run; give a copy of it",
        ),
        ({"model.pretrained": "weights.pt"}, "model.pretrained: no file weights.pt; it was looked for in /"),
    ],
)
def test_what_would_fail_later_is_named_by_its_key(refusal: Refusal, changes: dict[str, Any], message: str) -> None:
    assert refusal(changes).startswith(message)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.epochs", 10**9),
        ("cu.omega", 10**9),
        ("train.augment.padding", 10**9),
        ("data.image_size", 100_000),
        ("figures.neighbours", 10**9),
        ("data.workers", 10**6),
        ("search.epochs_max", 10**9),
        ("mutual_information.cross_fitted.folds", 10**6),
    ],
)
def test_a_value_with_which_a_run_would_hang_is_refused_with_its_range(refusal: Refusal, key: str, value: int) -> None:
    message = refusal({key: value})
    assert re.fullmatch(rf"{re.escape(key)}: expected \d+ to [\d,]+ \(.{{10,}}\), not {value}", message)


def test_a_highest_learning_rate_below_the_lowest_is_refused(refusal: Refusal) -> None:
    message = refusal({"search.lr_min": 0.3, "search.lr_max": 0.1})
    assert message == "search.lr_max: this should be at least lr_min, 0.3, not 0.1"


@pytest.mark.parametrize("key", ["data.root", "original.checkpoint", "model.pretrained", "forget.file"])
def test_empty_text_is_refused_with_how_to_give_no_value(refusal: Refusal, key: str) -> None:
    message = refusal({key: ""})
    told = "this is empty text; to give no value write null (-S <key>=null), or leave it out in the file"
    assert message == f"{key}: {told}"


def test_photos_made_so_small_that_nothing_is_left_bring_a_warning_and_no_error(
    checked: Callable[[dict[str, Any]], None], photos: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"data.name": "image_folder", "data.root": photos, "forget.count": 1}
    checked(own)
    warning = capsys.readouterr().err
    assert warning.startswith("warning: params.yaml: data.image_size: 8 px leaves next to nothing of photos of 100 px")
    assert warning.count("\n") == 1
    checked({**own, "data.image_size": 64})
    assert capsys.readouterr().err == ""


def test_a_list_of_classes_that_is_not_read_brings_a_warning_and_no_error(
    checked: Callable[[dict[str, Any]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    checked({"forget.classes": [3]})
    warning = capsys.readouterr().err
    assert warning.startswith("warning: params.yaml: forget.classes is not read, as forget.scenario is 'random'")
    assert warning.count("\n") == 1


def test_a_checkpoint_in_the_home_folder_is_found(
    checked: Callable[[dict[str, Any]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.pt").touch()
    checked({"original.checkpoint": "~/mine.pt"})
