from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import random_split
from torchvision.transforms.v2 import functional as transforms

import tests.data.test_cifar as cifar_files
from unlearning.data.batches import in_order
from unlearning.data.images import fit
from unlearning.data.manifest import Manifest
from unlearning.data.reading import read_image
from unlearning.errors import InputError
from unlearning.params import KNN, DownstreamSet
from unlearning.sources.downstream import LabelledImages, bounded, image_split, load_downstream, training_part

WriteImage = Callable[..., Path]
CPU = torch.device("cpu")
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
SOURCES = ["cifar10", "cub200", "domainnet126", "image_folder", "office_home"]
CUB = [  # number in the lists, path, class number, whether it is a training image
    ("1", "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg", 1, 0),
    ("2", "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg", 1, 1),
    ("4", "200.Common_Yellowthroat/Common_Yellowthroat_0003_190521.jpg", 200, 1),
    ("3", "002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg", 2, 0),
]
DOMAINNET = [  # path and class number
    ("real/aircraft_carrier/real_001_000001.jpg", 0),
    ("real/zebra/real_344_000002.jpg", 125),
    ("real/ant/real_004_000007.jpg", 3),
    ("real/ant/real_004_000001.jpg", 3),
]

written, offline = cifar_files.written, cifar_files.offline  # small files of CIFAR's real layout; a network that is cut


@dataclass(frozen=True)
class Case:
    """A small set on the disk, and what is expected of it."""

    entry: DownstreamSet
    ids: list[str]
    labels: list[int]
    is_train: list[bool] | None
    images: list[Tensor]  # uint8 (3, H, W), of several sizes

    def load(self) -> LabelledImages:
        return load_downstream(self.entry)


def entry_of(source: str, root: Path, domain: str | None = None) -> DownstreamSet:
    return DownstreamSet(name="pets", source=source, root=str(root), domain=domain)


def write_all(write_image: WriteImage, folder: Path, names: list[str], seed: int = 0) -> list[Tensor]:
    """Write images of several sizes, some grey, and return them as a reader of the files sees them."""
    for number, name in enumerate(names):
        write_image(folder / name, (9 + number % 3, 20 - number % 5), seed + number, grey=number % 4 == 3)
    return [read_image(folder / name) for name in names]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "set"


@pytest.fixture
def name() -> str:
    """Return which of the CIFAR sets `written` writes."""
    return "cifar10"


@pytest.fixture
def cifar10(request: pytest.FixtureRequest, root: Path) -> Case:
    contents = request.getfixturevalue("written")
    train, test = [f"data_batch_{number}" for number in range(1, 6)], ["test_batch"]
    pixels = np.concatenate([contents[file].reshape(-1, 3, 32, 32) for file in train + test])
    labels = [int(label) for file in train + test for label in contents[f"{file}/labels"]]
    per_file = cifar_files.PER_FILE
    ids = [f"{number:05d}" for number in range(6 * per_file)]
    is_train = [True] * 5 * per_file + [False] * per_file
    return Case(entry_of("cifar10", root), ids, labels, is_train, list(torch.from_numpy(pixels)))


@pytest.fixture
def cub200(root: Path, write_image: WriteImage) -> Case:
    """Write the lists, each in an order of its own."""
    ids = [path for _, path, _, _ in CUB]
    images = write_all(write_image, root / "images", ids)
    for file, lines in (
        ("images.txt", [f"{number} {path}" for number, path, _, _ in CUB]),
        ("image_class_labels.txt", [f"{number} {label}" for number, _, label, _ in CUB[::-1]]),
        ("train_test_split.txt", [f"{number} {train}" for number, _, _, train in sorted(CUB)]),
    ):
        (root / file).write_text("\n".join(lines) + "\n")
    in_order_of_path = [1, 0, 3, 2]
    case = Case(entry_of("cub200", root), ids, [0, 0, 199, 1], [False, True, True, False], images)
    return replace(
        case,
        **{
            key: [getattr(case, key)[row] for row in in_order_of_path]
            for key in ("ids", "labels", "is_train", "images")
        },
    )


@pytest.fixture
def domainnet126(root: Path, write_image: WriteImage) -> Case:
    ids = [path for path, _ in DOMAINNET]
    images = write_all(write_image, root, ids)
    (root / "real_list.txt").write_text("\n".join(f"{path} {label}" for path, label in DOMAINNET))  # no line's end
    (root / "sketch_list.txt").write_text("sketch/ant/sketch_004_000001.jpg 3\n")
    return Case(entry_of("domainnet126", root, "real"), ids, [0, 125, 3, 3], None, images)


@pytest.fixture
def office_home(root: Path, write_image: WriteImage) -> Case:
    names = ["Alarm_Clock/00001.jpg", "Alarm_Clock/00002.jpg", "Backpack/00001.jpg", "Webcam/00010.jpg"]
    for seed, domain in enumerate(("Art", "Clipart", "Product")):
        write_all(write_image, root / domain, names[: seed + 1], 100 * seed)
    images = write_all(write_image, root / "Real World", names, 1000)
    return Case(entry_of("office_home", root, "Real World"), names, [0, 0, 1, 2], None, images)


@pytest.fixture
def image_folder(root: Path, write_image: WriteImage) -> Case:
    ids = ["train/cat/b.png", "train/dog/a.jpg", "train/dog/c.webp", "test/cat/a.jpeg", "test/dog/a.png"]
    images = write_all(write_image, root, ids)
    return Case(entry_of("image_folder", root), ids, [0, 1, 1, 0, 1], [True, True, True, False, False], images)


@pytest.fixture
def image_folder_without_split(root: Path, write_image: WriteImage) -> Case:
    ids = ["cat/a.png", "cat/b.jpg", "dog/a.png"]
    images = write_all(write_image, root, ids)
    return Case(entry_of("image_folder", root), ids, [0, 0, 1], None, images)


@pytest.fixture(params=[*SOURCES, "image_folder_without_split"])
def case(request: pytest.FixtureRequest) -> Case:
    return request.getfixturevalue(request.param)


def manifest_of(channels: int, size: int) -> Manifest:
    """Return the manifest of a model, of whose own images there is none."""
    return Manifest("none", ["a", "b"], size, channels, MEAN[:channels], STD[:channels], None, "content", {}, [0])


def read(images: LabelledImages, channels: int, size: int, positions: list[int]) -> tuple[Tensor, list[int]]:
    """Return what a model gets: float (N, C, size, size), normalised, and the labels."""
    split = image_split(images, manifest_of(channels, size), CPU, workers=0, max_pixels=10_000)
    batches = list(split.batches(in_order(np.array(positions), 3)))
    return torch.cat([batch.images for batch in batches]), [int(label) for batch in batches for label in batch.labels]


def normalised(image: Tensor, channels: int, size: int) -> Tensor:
    pixels = fit(image if channels == 3 else transforms.rgb_to_grayscale(image), size)
    mean, std = (torch.tensor(values[:channels]).view(-1, 1, 1) for values in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std


def refusal(entry: DownstreamSet) -> str:
    with pytest.raises(InputError) as caught:
        load_downstream(entry)
    return str(caught.value)


def test_ids_labels_and_the_official_split_are_those_of_the_set(case: Case) -> None:
    images = case.load()
    assert images.ids == case.ids
    assert images.labels.dtype == np.int64
    assert images.labels.tolist() == case.labels
    if case.is_train is None:
        assert images.is_train is None
    else:
        assert images.is_train.dtype == bool
        assert images.is_train.tolist() == case.is_train


@pytest.mark.parametrize(("channels", "size"), [(3, 8), (1, 8), (3, 24), (1, 24)])
def test_the_pixels_of_the_right_images_arrive_in_the_asked_order(case: Case, channels: int, size: int) -> None:
    last = len(case.ids) - 1
    positions = [last, 0, last - 1, 1, 0]
    arrived, labels = read(case.load(), channels, size, positions)
    assert labels == [case.labels[position] for position in positions]
    assert arrived.shape == (5, channels, size, size)
    for image, position in zip(arrived, positions, strict=True):
        torch.testing.assert_close(image, normalised(case.images[position], channels, size))


@pytest.mark.parametrize(("folders", "held_out"), [(("train", "valid"), "valid"), (("train", "val", "Test"), "Test")])
def test_the_test_folder_or_else_the_validation_folder_is_the_official_test_split(
    root: Path, write_image: WriteImage, folders: tuple[str, ...], held_out: str
) -> None:
    write_all(write_image, root, [f"{folder}/{name}/a.png" for folder in folders for name in ("cat", "dog")])
    images = load_downstream(entry_of("image_folder", root))
    assert images.ids == [f"{folder}/{name}/a.png" for folder in ("train", held_out) for name in ("cat", "dog")]
    assert images.is_train.tolist() == [True, True, False, False]


def test_listing_files_decodes_nothing(image_folder: Case, root: Path) -> None:
    (root / image_folder.ids[0]).write_bytes(b"no image")
    images = image_folder.load()
    with pytest.raises(InputError, match=f"cannot read the image {root / image_folder.ids[0]} "):
        read(images, 3, 8, [0])


@pytest.mark.parametrize("folder", ["Real World", "Real_World", "RealWorld"])
@pytest.mark.parametrize("domain", ["Real World", "Real_World", "real world"])
def test_a_domain_of_office_home_is_found_by_any_of_its_spellings(
    root: Path, office_home: Case, folder: str, domain: str
) -> None:
    (root / "Real World").rename(root / folder)
    images = load_downstream(entry_of("office_home", root, domain))
    assert images.ids == office_home.ids
    assert images.root == root / folder


def test_the_domain_says_which_images_are_read(root: Path, office_home: Case) -> None:
    sets = [load_downstream(entry_of("office_home", root, domain)).ids for domain in ("Art", "Clipart", "Product")]
    assert sets == [office_home.ids[:1], office_home.ids[:2], office_home.ids[:3]]


def test_an_unknown_source_is_named_with_the_nearest_and_all_known_ones(root: Path) -> None:
    message = refusal(entry_of("cub_200", root))
    assert message == f"downstream: source 'cub_200' of pets is none of {', '.join(SOURCES)} (did you mean 'cub200'?)"


@pytest.mark.parametrize(
    ("source", "domain", "below", "how"),
    [
        ("cub200", None, "images", "CUB_200_2011.tgz"),
        ("office_home", "Art", "", "OfficeHomeDataset"),
        ("domainnet126", "real", "", r"_list.txt of the 126 classes"),
        ("image_folder", None, "", "train/<class>/* and test/<class>/*, or <class>/*"),
    ],
)
def test_a_missing_folder_is_named_with_how_to_get_the_set(
    root: Path, source: str, domain: str | None, below: str, how: str
) -> None:
    message = refusal(entry_of(source, root, domain))
    assert message.startswith(f"downstream: pets ({source}) expects the folder {root / below}; ")
    assert how in message


@pytest.mark.usefixtures("offline")
def test_without_cifar_and_network_the_error_names_the_entry_and_which_file_to_put_where(root: Path) -> None:
    message = refusal(entry_of("cifar10", root))
    assert message.startswith(f"CIFAR10 is not in {root} (root of pets in downstream) and could not be downloaded")
    assert message.endswith(f"put the file cifar-10-python.tar.gz into {root} and run again")


@pytest.mark.parametrize("domain", [None, "photo", ""])
@pytest.mark.parametrize(
    ("source", "domains"),
    [("office_home", "Art, Clipart, Product, Real World"), ("domainnet126", "clipart, painting, real, sketch")],
)
def test_a_missing_or_unknown_domain_is_an_error_that_lists_the_known_ones(
    root: Path, source: str, domains: str, domain: str | None
) -> None:
    message = refusal(entry_of(source, root, domain))
    assert message == f"downstream: pets needs a domain, one of {domains}, not {domain!r}"


@pytest.mark.usefixtures("office_home")
def test_a_domain_that_is_not_unpacked_is_a_missing_folder(root: Path) -> None:
    (root / "Art").rename(root / "art_moved_away")
    message = refusal(entry_of("office_home", root, "Art"))
    assert message.startswith(f"downstream: pets (office_home) expects the folder {root / 'Art'}; unpack ")


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("cub200", "images.txt"),
        ("cub200", "image_class_labels.txt"),
        ("cub200", "train_test_split.txt"),
        ("domainnet126", "real_list.txt"),
    ],
)
@pytest.mark.parametrize("content", [None, "caf\u00e9 1\n".encode("latin-1")])
def test_a_list_that_is_missing_or_no_text_is_named(
    request: pytest.FixtureRequest, root: Path, source: str, file: str, content: bytes | None
) -> None:
    case = request.getfixturevalue(source)
    (root / file).unlink()
    if content is not None:
        (root / file).write_bytes(content)
    assert refusal(case.entry).startswith(f"downstream: pets ({source}): cannot read {root / file} (")


@pytest.mark.parametrize("source", ["cub200", "domainnet126"])
@pytest.mark.parametrize(("missing", "more"), [([2], ""), ([1, 2], " and 1 more"), ([0, 1, 2, 3], " and 3 more")])
def test_a_list_naming_missing_images_is_an_error(
    request: pytest.FixtureRequest, source: str, missing: list[int], more: str
) -> None:
    case = request.getfixturevalue(source)
    folder = case.load().root
    for position in missing:
        (folder / case.ids[position]).unlink()
    assert refusal(case.entry) == (
        f"downstream: pets ({source}) lists images that do not exist: {folder / case.ids[missing[0]]}{more}; "
        "unpack the whole set there"
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("real/ant/a.jpg", ", line 2: expected two words, not 'real/ant/a.jpg'"),
        ("real/ant/a b.jpg 3", ", line 2: expected two words, not 'real/ant/a b.jpg 3'"),
        ("real/ant/a.jpg three", ": 'three' is no class number; expected digits, 9 at most"),
        ("real/ant/a.jpg -1", ": '-1' is no class number; expected digits, 9 at most"),
    ],
)
def test_a_broken_line_of_a_domainnet_list_is_named(root: Path, domainnet126: Case, line: str, problem: str) -> None:
    path = root / "real_list.txt"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first, line, *rest]))
    assert refusal(domainnet126.entry) == f"downstream: pets (domainnet126): {path}{problem}"


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("images.txt", "5"),
        ("image_class_labels.txt", "2"),
        ("image_class_labels.txt", "2 two"),
        ("train_test_split.txt", "2"),
    ],
)
def test_a_broken_line_of_a_cub_list_is_named(root: Path, cub200: Case, file: str, line: str) -> None:
    path = root / file
    path.write_text(path.read_text() + line + "\n")
    assert str(path) in refusal(cub200.entry)


@pytest.mark.parametrize("file", ["image_class_labels.txt", "train_test_split.txt"])
def test_a_cub_image_without_label_or_split_is_named(root: Path, cub200: Case, file: str) -> None:
    path = root / file
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if not line.startswith("4 ")))
    assert refusal(cub200.entry) == f"downstream: pets: image 4 of {root}/images.txt has no label or no split"


@pytest.fixture(params=["pixels", "files"])
def many(request: pytest.FixtureRequest, tmp_path: Path) -> LabelledImages:
    """Return twenty images with an official split; whether their pixels are held makes no difference to the rest."""
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (20, 3, 4, 4), dtype=np.uint8))
    labels, is_train = random.integers(0, 5, 20), random.random(20) < 0.6
    ids = [f"{number:02d}" for number in range(20)]
    return LabelledImages(tmp_path, ids, labels, is_train, pixels if request.param == "pixels" else None)


@pytest.mark.parametrize("max_samples", [1, 7, 19])
def test_bounded_images_are_some_of_them_in_order_each_with_its_own_label_split_and_pixels(
    many: LabelledImages, max_samples: int
) -> None:
    fewer = bounded(many, max_samples, seed=0)
    kept = [int(name) for name in fewer.ids]
    assert len(kept) == max_samples
    assert kept == sorted(set(kept))
    assert fewer.labels.tolist() == many.labels[kept].tolist()
    assert fewer.is_train.tolist() == many.is_train[kept].tolist()
    assert fewer.root == many.root
    if many.pixels is None:
        assert fewer.pixels is None
    else:
        assert torch.equal(fewer.pixels, many.pixels[kept])


@pytest.mark.parametrize("max_samples", [20, 21, 1000])
def test_images_within_the_bound_are_all_kept(many: LabelledImages, max_samples: int) -> None:
    assert bounded(many, max_samples, seed=0) is many


def test_the_bounded_subset_depends_on_the_seed_alone(many: LabelledImages) -> None:
    def subset(seed: int, global_seed: int) -> list[str]:
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        return bounded(many, 10, seed).ids

    assert subset(0, 1) == subset(0, 2)
    assert subset(0, 1) != subset(1, 1)


def test_bounded_images_without_official_split_have_none(image_folder_without_split: Case) -> None:
    assert bounded(image_folder_without_split.load(), 2, seed=0).is_train is None


def unsplit(count: int) -> LabelledImages:
    labels = np.arange(count, dtype=np.int64) % 3
    return LabelledImages(Path("none"), [str(number) for number in range(count)], labels, None)


def knn(test_fraction: float = 0.2, seed: int = 2) -> KNN:
    return KNN(k=5, features="penultimate", test_fraction=test_fraction, seed=seed)


def test_the_official_split_wins(many: LabelledImages) -> None:
    for test_fraction in (0.2, 0.9):
        assert training_part(many, knn(test_fraction)).tolist() == many.is_train.tolist()


@pytest.mark.parametrize(("count", "test_fraction", "train"), [(50, 0.2, 40), (50, 0.4, 30), (7, 0.2, 5), (2, 0.5, 1)])
def test_without_official_split_a_share_of_the_images_is_for_training(
    count: int, test_fraction: float, train: int
) -> None:
    chosen = training_part(unsplit(count), knn(test_fraction))
    assert chosen.dtype == bool
    assert len(chosen) == count
    assert chosen.sum() == train


@pytest.mark.parametrize("count", [11, 50, 11_788])
def test_the_random_split_is_that_of_torchs_random_split(count: int) -> None:
    sizes = [int(0.8 * count), count - int(0.8 * count)]
    train, test = random_split(range(count), sizes, generator=torch.Generator().manual_seed(2))
    chosen = training_part(unsplit(count), knn())
    assert sorted(train.indices) == chosen.nonzero()[0].tolist()
    assert sorted(test.indices) == (~chosen).nonzero()[0].tolist()


def test_an_official_split_is_left_aside_where_the_entry_asks_for_a_random_one(case: Case) -> None:
    asked = replace(case, entry=case.entry.model_copy(update={"split": "random"})).load()
    assert asked.is_train is None
    assert asked.ids == case.ids
    assert asked.labels.tolist() == case.labels


def test_the_split_depends_on_the_seed_alone_and_is_random() -> None:
    def split(seed: int, global_seed: int) -> list[bool]:
        torch.manual_seed(global_seed)
        return training_part(unsplit(50), knn(seed=seed)).tolist()

    assert split(2, 0) == split(2, 1)
    assert split(2, 0) != split(3, 0)
    assert split(2, 0) != sorted(split(2, 0), reverse=True)
