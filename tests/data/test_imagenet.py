"""ImageNet as people have unpacked it: validation images by folders, or flat with the labels of either list."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from unlearning.data.file_stamps import stamp_of_times
from unlearning.errors import InputError
from unlearning.params import Data, Forget
from unlearning.sources import Source, load_source
from unlearning.splitting.classes import forget_classes
from unlearning.splitting.images import prepare

TENCH, SHARK, FIRST_CRANE, OTHER_CRANE = "n01440764", "n01484850", "n02012849", "n03126707"
WORDNET_IDS = [TENCH, SHARK, FIRST_CRANE, OTHER_CRANE]
GIVEN = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "resident_gb": 0.0}
MakeData = Callable[..., Data]
Load = Callable[[], Source]


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    for label, name in enumerate(WORDNET_IDS):
        for number in range(4):
            write_image(tmp_path / "train" / name / f"{name}_{number}.JPEG", (12, 10), 10 * label + number)
    return tmp_path


@pytest.fixture
def load(root: Path, make_data: MakeData) -> Load:
    return lambda: load_source(make_data(name="imagenet", root=str(root)))


@pytest.fixture
def by_folders(root: Path, write_image: Callable[..., Path]) -> Path:
    for number, name in enumerate([SHARK, TENCH, OTHER_CRANE, FIRST_CRANE, SHARK], start=1):
        write_image(root / "val" / name / f"ILSVRC2012_val_{number:08d}.JPEG", seed=number)
    return root


@pytest.fixture
def flat(root: Path, write_image: Callable[..., Path]) -> Path:
    for number in range(1, 6):
        write_image(root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", seed=number)
    return root


def write_kit(root: Path, labels: list[int]) -> None:
    """Write the development kit: its numbers of classes are in no order, and inner nodes of WordNet have some too."""
    rows = [(3, TENCH, 0), (1, SHARK, 0), (4, FIRST_CRANE, 0), (2, OTHER_CRANE, 0), (1001, "n00001740", 2)]
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    folder = root / "ILSVRC2012_devkit_t12/data"
    folder.mkdir(parents=True)
    savemat(folder / "meta.mat", {"synsets": np.array(rows, dtype=kind)[:, None]})
    text = "".join(f"{label}\n" for label in labels)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(text, encoding="utf-8")


def labels_by_image(source: Source) -> dict[str, str]:
    return {
        Path(name).stem[-1]: source.classes[label]
        for name, label in zip(source.test.ids, source.test.labels, strict=True)
    }


@pytest.mark.usefixtures("by_folders")
def test_classes_are_named_by_id_and_meaning_in_the_order_of_their_ids(load: Load) -> None:
    source = load()
    assert source.classes == [
        f"{TENCH} tench",
        f"{SHARK} great white shark",
        f"{FIRST_CRANE} crane",
        f"{OTHER_CRANE} crane",
    ]
    assert source.train.ids[:5] == [
        *(f"train/{TENCH}/{TENCH}_{n}.JPEG" for n in range(4)),
        f"train/{SHARK}/{SHARK}_0.JPEG",
    ]
    assert source.train.labels.tolist() == np.repeat(np.arange(4), 4).tolist()
    assert [path.is_file() for path in source.train.files] == [True] * 16


def test_ids_are_below_the_root_wherever_it_is_looked_at_from(
    by_folders: Path, load: Load, make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load().train.ids
    monkeypatch.chdir(by_folders)
    for name, root in (("imagenet", "."), ("imagenet", str(by_folders) + "/"), ("image_folder", ".")):
        source = load_source(make_data(name=name, root=root))
        assert source.train.ids == expected
        assert all(path.is_file() for path in source.train.files)


@pytest.mark.usefixtures("by_folders")
def test_the_official_validation_images_are_the_test_split(load: Load) -> None:
    source = load()
    assert source.validation is None
    assert labels_by_image(source) == {
        "1": f"{SHARK} great white shark",
        "2": f"{TENCH} tench",
        "3": f"{OTHER_CRANE} crane",
        "4": f"{FIRST_CRANE} crane",
        "5": f"{SHARK} great white shark",
    }


def test_flat_validation_images_get_the_labels_of_the_development_kit(flat: Path, load: Load) -> None:
    write_kit(flat, [1, 3, 2, 4, 1])
    found = labels_by_image(load())
    assert {image: name.split()[0] for image, name in found.items()} == {
        "1": SHARK,
        "2": TENCH,
        "3": OTHER_CRANE,
        "4": FIRST_CRANE,
        "5": SHARK,
    }


def test_flat_validation_images_get_the_labels_of_kaggles_list(flat: Path, load: Load) -> None:
    answers = [SHARK, TENCH, OTHER_CRANE, FIRST_CRANE, SHARK]
    lines = [f"ILSVRC2012_val_{number:08d},{name} 1 2 3 4 {name} 5 6 7 8 " for number, name in enumerate(answers, 1)]
    (flat / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines[::-1], ""]), "utf-8")
    found = labels_by_image(load())
    assert {image: name.split()[0] for image, name in found.items()} == dict(zip("12345", answers, strict=True))


def test_validation_images_of_classes_without_training_images_are_left_out_and_counted(
    flat: Path, root: Path, load: Load
) -> None:
    write_kit(flat, [1, 3, 2, 4, 1])
    for path in (root / "train" / SHARK).iterdir():
        path.unlink()
    (root / "train" / SHARK).rmdir()
    source = load()
    assert len(source.test.ids) == 3
    assert source.notes == [f"2 validation images are of classes without a folder in {root / 'train'}, and left out"]


def test_folders_of_other_classes_are_left_out_and_counted(
    by_folders: Path, load: Load, write_image: Callable[..., Path]
) -> None:
    write_image(by_folders / "val" / "n15075141" / "ILSVRC2012_val_00000009.JPEG")
    source = load()
    assert len(source.test.ids) == 5
    assert source.notes[0].startswith("1 validation images are of classes without a folder")


@pytest.mark.usefixtures("by_folders")
@pytest.mark.parametrize("entry", [TENCH, f"{TENCH} tench", 0])
def test_a_class_is_named_by_its_id_by_its_whole_name_or_by_its_place(
    load: Load, make_forget: Callable[..., Forget], entry: str | int
) -> None:
    assert forget_classes(make_forget(scenario="classes", classes=[entry]), load().classes) == [0]


@pytest.mark.usefixtures("by_folders")
def test_an_id_that_no_class_has_is_refused(load: Load, make_forget: Callable[..., Forget]) -> None:
    with pytest.raises(InputError, match="forget.classes: no class 'n09999999'"):
        forget_classes(make_forget(scenario="classes", classes=["n09999999"]), load().classes)


def test_nothing_is_opened_where_mean_and_std_are_given(
    by_folders: Path, make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    data = make_data(name="imagenet", root=str(by_folders), image_size=8, **GIVEN)
    names = list((by_folders / "train").rglob("*.JPEG")) + list((by_folders / "val").rglob("*.JPEG"))
    for path in names:
        path.write_bytes(b"no image")
    manifest = prepare(load_source(data), data, make_forget()).manifest
    assert manifest.root == str(by_folders)
    assert (manifest.channels, manifest.mean, manifest.std) == (3, GIVEN["mean"], GIVEN["std"])
    assert manifest.value_range is None


def test_a_streamed_split_has_a_stamp_of_each_file(
    by_folders: Path, make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    data = make_data(name="imagenet", root=str(by_folders), image_size=8, **GIVEN)
    prepared = prepare(load_source(data), data, make_forget())
    expected = [stamp_of_times((by_folders / name).stat()) for name in prepared.manifest.splits["test"].ids]
    assert [row.tobytes() for row in prepared.stamps["test"]] == expected


def _no_training(root: Path) -> None:
    (root / "train").rename(root / "training")


def _other_names(root: Path) -> None:
    (root / "train" / TENCH).rename(root / "train" / "tench")


def _no_validation(root: Path) -> None:
    (root / "val").rename(root / "validation")


def _unknown_number(root: Path) -> None:
    write_kit(root, [1, 3, 2, 4])


def _unknown_class(root: Path) -> None:
    write_kit(root, [1, 3, 2, 4, 7])


def _damaged_kit(root: Path) -> None:
    write_kit(root, [1, 3, 2, 4, 1])
    (root / "ILSVRC2012_devkit_t12/data/meta.mat").write_bytes(b"MATLAB 5.0" + bytes(200))


def _damaged_list(root: Path) -> None:
    (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nILSVRC2012_val_00000001\n", encoding="utf-8")


def _damaged_image(root: Path) -> None:
    Image.new("RGB", (4, 4)).save(root / "val" / "extra.JPEG")
    write_kit(root, [1, 3, 2, 4, 1])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_no_training, "data.root: no folder .*train; expected train/<WordNet id>/"),
        (_other_names, "data.root: .*train has the folder 'tench', where each is named by a WordNet id.* image_folder"),
        (_no_validation, "data.root: no folder .*val; expected train/<WordNet id>/"),
        (
            lambda _: None,
            "has no folders of classes, and the labels are neither in .*truth.txt .* nor in .*solution.csv",
        ),
        (_unknown_number, "no label is known of .*ILSVRC2012_val_00000005.JPEG"),
        (_unknown_class, "ground_truth.txt, line 5: '7' is no class of .*meta.mat"),
        (_damaged_kit, "cannot read .*meta.mat .*unpack the development kit again"),
        (_damaged_list, r"LOC_val_solution.csv, line 2: expected ILSVRC2012_val_<number>,<WordNet id>"),
        (_damaged_image, "no label is known of .*extra.JPEG"),
    ],
    ids=lambda value: getattr(value, "__name__", "").strip("_<>"),
)
def test_another_form_is_refused_in_one_line(
    flat: Path, load: Load, harm: Callable[[Path], None], message: str
) -> None:
    harm(flat)
    with pytest.raises(InputError, match=message) as caught:
        load()
    assert "\n" not in str(caught.value)
