from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlearning.data.images import read_all
from unlearning.data.sources import Source, image_folder
from unlearning.data.splitting import prepare
from unlearning.errors import InputError
from unlearning.params import Data, Forget

ImageTree = Callable[..., Path]
MakeData = Callable[..., Data]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def load(root: Path, make_data: MakeData) -> Callable[[], Source]:
    return lambda: image_folder.load(make_data(name="image_folder", root=str(root)))


@pytest.mark.parametrize("second", ["test", "val"])
def test_two_trees_are_training_and_test_split(
    root: Path, image_tree: ImageTree, load: Callable[[], Source], second: str
) -> None:
    image_tree(root / "train", dog=3, cat=2)
    image_tree(root / second, dog=1, cat=2)
    source = load()
    assert source.classes == ["cat", "dog"]
    assert source.train.ids == [f"train/{x}.png" for x in ("cat/00", "cat/01", "dog/00", "dog/01", "dog/02")]
    assert source.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert source.train.labels.dtype == np.int64
    assert source.test.ids == [f"{second}/{x}.png" for x in ("cat/00", "cat/01", "dog/00")]
    assert source.test.labels.tolist() == [0, 0, 1]


def test_test_goes_before_val(root: Path, image_tree: ImageTree, load: Callable[[], Source]) -> None:
    for folder, count in (("train", 3), ("val", 2), ("test", 1)):
        image_tree(root / folder, cat=count, dog=count)
    assert load().test.ids == ["test/cat/00.png", "test/dog/00.png"]


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
        assert samples.paths == [root / name for name in samples.ids]
        assert all(path.is_file() for path in samples.paths)
    assert not set(source.train.ids) & set(source.test.ids)


def test_files_of_every_format_and_of_sub_folders_are_found_and_others_are_not(
    root: Path, write_image: Callable[..., Path], load: Callable[[], Source]
) -> None:
    found = ["a.png", "b.jpg", "c.jpeg", "d.webp", "e.PNG", "f.JPG", "sub/g.png"]
    for number, name in enumerate(found):
        write_image(root / "cat" / name, (9 + number, 8), number)
    for name in ("notes.txt", "labels.csv", "x.gif"):
        (root / "cat" / name).write_text("not for training")
    assert load().train.ids == [f"cat/{name}" for name in found]


def test_grey_colour_and_sixteen_bit_images_of_any_size_become_equal_shapes(
    root: Path, write_image: Callable[..., Path], make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    for name in ("cat", "dog"):
        write_image(root / name / "a.png", (8, 8), grey=True)
        write_image(root / name / "b.png", (33, 12))
        write_image(root / name / "c.jpg", (5, 40))
        write_image(root / name / "d.webp", (64, 64))
        Image.fromarray(np.full((10, 9), 40_000, dtype=np.uint16)).save(root / name / "e.png")
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
                assert prepared.pixels[name][position].eq(40_000 >> 8).all()


def test_an_unreadable_image_is_named_with_how_many_more(
    root: Path, image_tree: ImageTree, make_data: MakeData, make_forget: Callable[..., Forget]
) -> None:
    image_tree(root / "train", cat=4, dog=4)
    image_tree(root / "test", cat=2, dog=2)
    for number in (1, 3):
        (root / "train" / "dog" / f"{number:02d}.png").write_bytes(b"no image")
    data = make_data(name="image_folder", root=str(root), validation_fraction=0.0)
    with pytest.raises(InputError, match=r"cannot read the image .*train/dog/01\.png and 1 more; repair or remove it"):
        prepare(image_folder.load(data), data, make_forget())


def test_an_empty_class_folder_is_named(root: Path, image_tree: ImageTree, load: Callable[[], Source]) -> None:
    image_tree(root, cat=2, dog=2)
    (root / "emu").mkdir()
    (root / "emu" / "readme.txt").write_text("soon")
    with pytest.raises(InputError, match=f"the class folder {root / 'emu'} holds no image .*; fill or remove it"):
        load()


def test_an_empty_class_folder_of_the_test_tree_is_named(
    root: Path, image_tree: ImageTree, load: Callable[[], Source]
) -> None:
    image_tree(root / "train", cat=2, dog=2)
    image_tree(root / "test", cat=2)
    (root / "test" / "dog").mkdir()
    with pytest.raises(InputError, match=f"the class folder {root / 'test' / 'dog'} holds no image"):
        load()


def test_differing_classes_of_the_two_trees_are_named(
    root: Path, image_tree: ImageTree, load: Callable[[], Source]
) -> None:
    image_tree(root / "train", cat=1, dog=1, emu=1)
    image_tree(root / "test", cat=1, dog=1, cow=1)
    with pytest.raises(InputError, match="should have the same class folders, but differ in cow, emu"):
        load()


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
    paths = load().train.paths
    with pytest.raises(InputError, match="cannot read the image"):
        read_all(paths, 8)
