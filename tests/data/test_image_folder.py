from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlearning.data.images import read_all
from unlearning.errors import InputError
from unlearning.params import Data, Forget
from unlearning.sources import Source, image_folder
from unlearning.splitting.images import prepare, split_samples

ImageTree = Callable[..., Path]
MakeData = Callable[..., Data]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def load(root: Path, make_data: MakeData) -> Callable[[], Source]:
    return lambda: image_folder.load(make_data(name="image_folder", root=str(root)))


@pytest.mark.parametrize(
    ("first", "second"), [("train", "test"), ("Training", "Testing"), ("TRAIN", "TEST"), ("training_set", "test set")]
)
def test_two_trees_are_training_and_test_split(
    root: Path, image_tree: ImageTree, load: Callable[[], Source], first: str, second: str
) -> None:
    image_tree(root / first, dog=3, cat=2)
    image_tree(root / second, dog=1, cat=2)
    source = load()
    assert source.classes == ["cat", "dog"]
    assert source.train.ids == [f"{first}/{x}.png" for x in ("cat/00", "cat/01", "dog/00", "dog/01", "dog/02")]
    assert source.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert source.train.labels.dtype == np.int64
    assert source.test.ids == [f"{second}/{x}.png" for x in ("cat/00", "cat/01", "dog/00")]
    assert source.test.labels.tolist() == [0, 0, 1]
    assert source.validation is None
    assert source.folder == Path(first)
    assert source.notes == []


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "DEV", "valset"])
def test_a_validation_folder_is_the_validation_split(
    root: Path, image_tree: ImageTree, make_data: MakeData, load: Callable[[], Source], name: str
) -> None:
    for folder, count in (("train", 6), (name, 2), ("test", 1)):
        image_tree(root / folder, cat=count, dog=count)
    source = load()
    assert source.notes == [f"validation split: the folder {name}; no data.validation_fraction is cut from train"]
    parts = split_samples(source, make_data(validation_fraction=0.5, test_fraction=0.5))
    assert parts["train"].samples.ids == source.train.ids
    assert parts["validation"].samples.ids == [f"{name}/{x}.png" for x in ("cat/00", "cat/01", "dog/00", "dog/01")]
    assert parts["test"].samples.ids == ["test/cat/00.png", "test/dog/00.png"]


def test_without_a_test_folder_the_test_split_is_cut_from_the_training_folder(
    root: Path, image_tree: ImageTree, make_data: MakeData, load: Callable[[], Source]
) -> None:
    image_tree(root / "train", cat=6, dog=6)
    image_tree(root / "val", cat=2, dog=2)
    source = load()
    assert source.notes == [
        "validation split: the folder val; no data.validation_fraction is cut from train; "
        "no test folder: data.test_fraction of train is the test split"
    ]
    parts = split_samples(source, make_data(validation_fraction=0.5, test_fraction=0.5))
    assert parts["validation"].samples.ids == source.validation.ids
    assert (
        np.bincount(parts["test"].samples.labels).tolist()
        == np.bincount(parts["train"].samples.labels).tolist()
        == [3, 3]
    )
    assert sorted(parts["test"].samples.ids + parts["train"].samples.ids) == source.train.ids


@pytest.mark.parametrize(
    ("folders", "readings"),
    [
        (["train", "cat", "dog"], "train as split and cat, dog left out, or all as classes; .* move cat, dog away"),
        (
            ["Train", "evaluation"],
            "Train as split and evaluation left out, or all as classes; .* or rename to val or test",
        ),
        (["valid", "invalid"], "valid as split and invalid left out, or all as classes; .* put all below .*/train"),
        (["val", "test"], "val, test as split without a training split, or as classes; .* add .*/train/<class>"),
    ],
)
def test_folders_that_can_be_splits_or_classes_are_refused_with_both_readings(
    root: Path, image_tree: ImageTree, load: Callable[[], Source], folders: list[str], readings: str
) -> None:
    for folder in folders:
        image_tree(root / folder, emu=1, fox=1)
    with pytest.raises(InputError, match=f"data.root: {root} can be read two ways: {readings}"):
        load()


@pytest.mark.parametrize("folders", [["Train", "training"], ["val", "valid"], ["Test", "testset"]])
def test_two_folders_of_one_split_are_refused(
    root: Path, image_tree: ImageTree, load: Callable[[], Source], folders: list[str]
) -> None:
    for folder in {"train", *folders}:
        image_tree(root / folder, cat=1, dog=1)
    with pytest.raises(
        InputError, match=rf"data.root: the \w+ split of {root} can be .*{folders[0]}.* or .*; keep one"
    ):
        load()


def test_classes_named_as_splits_are_read_below_the_training_folder(
    root: Path, image_tree: ImageTree, load: Callable[[], Source]
) -> None:
    image_tree(root / "train", train=2, valid=2, invalid=2)
    assert load().classes == ["invalid", "train", "valid"]


def test_classes_that_are_split_themselves_are_refused(
    root: Path, image_tree: ImageTree, load: Callable[[], Source]
) -> None:
    for name in ("cat", "dog"):
        image_tree(root / name, train=2, test=1)
    with pytest.raises(InputError) as caught:
        load()
    assert "cat can be read two ways: as a class, or as a set with the splits test, train; " in str(caught.value)
    assert f"for a class move them to {root}/<split>/cat, for a set make {root}/cat the root" in str(caught.value)


@pytest.mark.parametrize("below", ["", "train"])
def test_one_tree_has_no_test_split(root: Path, image_tree: ImageTree, load: Callable[[], Source], below: str) -> None:
    image_tree(root / below, cat=2, dog=1)
    source = load()
    assert source.classes == ["cat", "dog"]
    assert len(source.train.ids) == 3
    assert source.test is None


def test_one_tree_is_split_by_test_fraction(
    root: Path, image_tree: ImageTree, make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    image_tree(root, cat=10, dog=20)
    data = make_data(name="image_folder", root=str(root), test_fraction=0.3, validation_fraction=0.0)
    test = prepare(image_folder.load(data), data, make_forget()).manifest.splits["test"]
    assert np.bincount(test.labels).tolist() == [3, 6]


def test_ids_are_paths_below_the_root(root: Path, image_tree: ImageTree, load: Callable[[], Source]) -> None:
    image_tree(root / "train", cat=2, dog=2)
    image_tree(root / "test", cat=1, dog=1)
    source = load()
    for samples in (source.train, source.test):
        assert list(samples.files) == [root / name for name in samples.ids]
        assert all(path.is_file() for path in samples.files)
    assert not set(source.train.ids) & set(source.test.ids)


def test_files_of_every_format_and_of_sub_folders_are_found_and_others_are_not(
    root: Path, write_image: Callable[..., Path], load: Callable[[], Source]
) -> None:
    found = ["a.png", "b.jpg", "c.jpeg", "d.webp", "e.PNG", "f.JPG", "g.bmp", "h.gif", "i.ppm", "j.tif", "k.TIFF"]
    for number, name in enumerate([*found, "sub/l.png"]):
        write_image(root / "cat" / name, (9 + number, 8), number)
    for name in ("notes.txt", "labels.csv", "x.heic"):
        (root / "cat" / name).write_text("not for training")
    assert load().train.ids == [f"cat/{name}" for name in [*found, "sub/l.png"]]


def test_what_is_not_read_is_counted_by_suffix(
    root: Path, image_tree: ImageTree, write_image: Callable[..., Path], load: Callable[[], Source]
) -> None:
    image_tree(root / "train", cat=2, dog=2)
    image_tree(root / "test", cat=1, dog=1)
    for name in ("train/cat/a.TXT", "train/dog/sub/b.txt", "test/dog/c.heic", "test/dog/README", "labels/cat/d.xml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("no image")
    (root / "train" / "cat" / ".hidden").write_text("no image")
    for name in ("train/e.png", "f.png", "train/.g.png"):
        write_image(root / name)
    assert load().notes == [
        "not read: the folder(s) labels, without images",
        f"images not read, of other formats: 1 .heic, such as {root / 'test/dog/c.heic'}; to use them, convert them to "
        "one of .png, .jpg, .jpeg, .webp, .bmp, .gif, .pgm, .ppm, .tif, .tiff",
        "not read: 2 .txt, 1 without suffix, 2 .png outside the class folders",
    ]


def test_grey_colour_and_sixteen_bit_images_of_any_size_become_equal_shapes(
    root: Path, write_image: Callable[..., Path], make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    for name in ("cat", "dog"):
        write_image(root / name / "a.png", (8, 8), grey=True)
        write_image(root / name / "b.png", (33, 12))
        write_image(root / name / "c.jpg", (5, 40))
        write_image(root / name / "d.webp", (64, 64))
        dark_and_bright = np.repeat([[1000], [5000]], 5, axis=0).repeat(10, axis=1).astype(np.uint16)
        Image.fromarray(dark_and_bright).save(root / name / "e.png")
    data = make_data(name="image_folder", root=str(root), test_fraction=0.2, validation_fraction=0.2)
    prepared = prepare(image_folder.load(data), data, make_forget())
    assert {name: pixels.shape for name, pixels in prepared.pixels.items()} == {
        "train": (6, 3, 8, 8),
        "validation": (2, 3, 8, 8),
        "test": (2, 3, 8, 8),
    }
    for name, split in prepared.manifest.splits.items():
        for position, file in enumerate(split.ids):
            if file.endswith("e.png"):
                assert prepared.pixels[name][position, :, 0].eq(0).all()
                assert prepared.pixels[name][position, :, -1].eq(255).all()
    assert prepared.notes == [
        "2 images of more than 8 bits are scaled from 1000 (black) to 5000 (white): the lowest and the highest value "
        "in use; data.value_range sets others"
    ]


def test_an_unreadable_image_is_named_with_how_many_more(
    root: Path, image_tree: ImageTree, make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    image_tree(root / "train", cat=4, dog=4)
    image_tree(root / "test", cat=2, dog=2)
    for number in (1, 3):
        (root / "train" / "dog" / f"{number:02d}.png").write_bytes(b"no image")
    data = make_data(name="image_folder", root=str(root), validation_fraction=0.0)
    with pytest.raises(
        InputError, match=r"cannot read the image .*train/dog/01\.png \(.*\) and 1 more; repair or remove it"
    ):
        prepare(image_folder.load(data), data, make_forget())


def test_a_class_folder_with_files_but_no_image_is_named(
    root: Path, image_tree: ImageTree, load: Callable[[], Source]
) -> None:
    image_tree(root, cat=2, dog=2)
    (root / "emu").mkdir()
    (root / "emu" / "readme.txt").write_text("soon")
    message = f"folder {root / 'emu'} holds no image .* but 1 .txt; fill, empty or remove it"
    with pytest.raises(InputError, match=message):
        load()


@pytest.mark.parametrize("empty_folder", [True, False])
def test_the_test_tree_may_lack_a_class_whose_images_are_gone(
    root: Path, image_tree: ImageTree, load: Callable[[], Source], empty_folder: bool
) -> None:
    image_tree(root / "train", cat=2, dog=2)
    image_tree(root / "test", cat=2)
    if empty_folder:
        (root / "test" / "dog").mkdir()
    source = load()
    assert source.classes == ["cat", "dog"]
    assert source.test.labels.tolist() == [0, 0]


def test_an_empty_class_folder_is_a_class_that_only_a_request_to_forget_it_allows(
    root: Path, image_tree: ImageTree, make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    image_tree(root, cat=4, dog=4)
    (root / "emu").mkdir()
    data = make_data(name="image_folder", root=str(root))
    forget = make_forget(scenario="classes", classes=["emu"])
    manifest = prepare(image_folder.load(data), data, forget, given=True).manifest
    assert manifest.classes == ["cat", "dog", "emu"]
    assert manifest.forget_classes == [2]
    assert 2 not in np.concatenate([split.labels for split in manifest.splits.values()])
    with pytest.raises(InputError, match="no training image of 'emu': only a class to forget may have none"):
        prepare(image_folder.load(data), data, make_forget(scenario="classes", classes=["cat"]), given=True)


def test_differing_classes_of_the_two_trees_are_named(
    root: Path, image_tree: ImageTree, load: Callable[[], Source]
) -> None:
    image_tree(root / "train", cat=1, dog=1, emu=1)
    image_tree(root / "test", cat=1, dog=1, cow=1)
    with pytest.raises(InputError, match="should have the same class folders, but differ in cow, emu"):
        load()


def test_classes_of_the_two_trees_that_look_the_same_are_shown_by_their_codes(
    root: Path, image_tree: ImageTree, load: Callable[[], Source]
) -> None:
    image_tree(root / "train", **{"caf\u00e9": 1, "dog": 1})
    image_tree(root / "test", **{"cafe\u0301": 1, "dog": 1})
    with pytest.raises(InputError) as caught:
        load()
    assert str(caught.value).endswith(r"differ in 'cafe\u0301', 'caf\xe9'")


def test_a_missing_root_is_named_with_the_layout_expected(root: Path, load: Callable[[], Source]) -> None:
    with pytest.raises(InputError) as caught:
        load()
    assert str(caught.value) == f"data.root: no folder {root}; expected {root}/train/<class>/* or {root}/<class>/*"


@pytest.mark.parametrize("below", ["", "train"])
def test_a_folder_without_class_folders_is_named(
    root: Path, write_image: Callable[..., Path], load: Callable[[], Source], below: str
) -> None:
    folder = root / below
    write_image(folder / "00.png")
    with pytest.raises(InputError, match=f"{folder} has no class folders; expected {folder}/<class>/"):
        load()


def test_hidden_folders_are_no_classes(root: Path, image_tree: ImageTree, load: Callable[[], Source]) -> None:
    image_tree(root, cat=1, dog=1)
    (root / ".cache").mkdir()
    assert load().classes == ["cat", "dog"]


def test_hidden_files_and_those_of_hidden_folders_are_no_images(
    root: Path, image_tree: ImageTree, write_image: Callable[..., Path], load: Callable[[], Source]
) -> None:
    image_tree(root, cat=1, dog=1)
    (root / "cat" / "._00.png").write_bytes(b"what macOS leaves on foreign disks")
    write_image(root / "cat" / ".ipynb_checkpoints" / "00-checkpoint.png")
    assert load().train.ids == ["cat/00.png", "dog/00.png"]


def test_a_class_too_small_to_split_is_named(
    root: Path, image_tree: ImageTree, make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    image_tree(root, cat=5, dog=1)
    data = make_data(name="image_folder", root=str(root))
    with pytest.raises(InputError, match=r"the class 'dog' has 1 image\(s\), too few to split; add images"):
        prepare(image_folder.load(data), data, make_forget())


def test_listing_decodes_nothing(root: Path, image_tree: ImageTree, load: Callable[[], Source]) -> None:
    image_tree(root, cat=1, dog=1)
    (root / "cat" / "00.png").write_bytes(b"no image")
    paths = load().train.files
    with pytest.raises(InputError, match="cannot read the image"):
        read_all(paths, 8)
