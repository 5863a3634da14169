"""ImageNet (ILSVRC 2012) as it is unpacked: root/train/<WordNet id>/*.JPEG, and val/ by folders as well, or flat.

The official validation images, which the paper evaluates on, are the test split. A class is named by its WordNet id and
what that means, "n01440764 tench": the id alone says which is meant, too. The classes are in the order of their ids,
which is that of every ImageNet classifier. No file is opened or copied: the folders are listed, by several threads.
"""

import csv
import re
from pathlib import Path

from tqdm import tqdm

from unlearning.data.class_names import WORDNET_ID
from unlearning.data.image_files import Found, files_below, folders_in, refuse_broken
from unlearning.data.parallel import mapped
from unlearning.data.text_lists import lines_of
from unlearning.errors import InputError, and_more
from unlearning.params import Data
from unlearning.sources import Source, samples_of

TRAIN, VAL = "train", "val"
KIT = Path("ILSVRC2012_devkit_t12/data")  # the development kit, as its archive unpacks
KIT_CLASSES, KIT_LABELS = KIT / "meta.mat", KIT / "ILSVRC2012_validation_ground_truth.txt"
KAGGLE = Path("LOC_val_solution.csv")  # Kaggle's list of the same labels
NUMBER = re.compile(r"[0-9]+$")  # of a validation image, from 1: the end of its name
HOW = "expected train/<WordNet id>/*.JPEG and val/ below it; data.root is the folder that holds both"


def load(data: Data) -> Source:
    """List the files of each class, sorted by name; nothing is decoded here.

    Fewer classes than a thousand are read as well; validation images of others are left out. Raises InputError for a
    folder that is missing or of another form, and for a flat val/ whose labels are in neither known file.
    """
    root = Path(data.root)
    wordnet_ids = _class_folders(root)
    train = samples_of(_by_folders(root / TRAIN, wordnet_ids), root)
    files, left_out = _validation_files(root, wordnet_ids)
    note = f"{left_out} validation images are of classes without a folder in {root / TRAIN}, and left out"
    return Source(
        _with_meanings(wordnet_ids), train, samples_of(files, root), notes=[note] * bool(left_out), eight_bits=True
    )


def _class_folders(root: Path) -> list[str]:
    folder = root / TRAIN
    if not folder.is_dir():
        raise InputError(f"data.root: no folder {folder}; {HOW}")
    names = [path.name for path in folders_in(folder)]
    other = [name for name in names if not WORDNET_ID.fullmatch(name)]
    if other or not names:
        found = f"the folder {other[0]!r}" if other else "no folder"
        raise InputError(
            f"data.root: {folder} has {found}, where each is named by a WordNet id such as n01440764; for classes of "
            "other names set data.name to image_folder"
        )
    return names


def _by_folders(folder: Path, wordnet_ids: list[str]) -> list[list[Path]]:
    """Return the images of each class."""
    listed = mapped(lambda name: _listed(folder / name), wordnet_ids, chunk=1)
    bar = tqdm(listed, total=len(wordnet_ids), desc=f"listing {folder}", unit="folder", mininterval=1.0, leave=False)
    found = list(bar)
    refuse_broken([bad for of_class in found for bad in of_class.bad], "data.root")
    return [of_class.images for of_class in found]


def _listed(folder: Path) -> Found:
    return files_below(folder) if folder.is_dir() else Found()


def _validation_files(root: Path, wordnet_ids: list[str]) -> tuple[list[list[Path]], int]:
    """Return the validation images of each class, and how many there are of other classes."""
    folder = root / VAL
    if not folder.is_dir():
        raise InputError(f"data.root: no folder {folder}; {HOW}")
    folders = [path.name for path in folders_in(folder) if WORDNET_ID.fullmatch(path.name)]
    if folders:
        others = sorted(set(folders) - set(wordnet_ids))
        return _by_folders(folder, wordnet_ids), sum(len(_listed(folder / name).images) for name in others)
    (found,) = _by_folders(root, [VAL])
    return _by_labels(found, _validation_labels(root), wordnet_ids, folder)


def _by_labels(
    files: list[Path], labels: dict[int, str], wordnet_ids: list[str], folder: Path
) -> tuple[list[list[Path]], int]:
    of_class: dict[str, list[Path]] = {name: [] for name in wordnet_ids}
    numbers = {path: NUMBER.search(path.stem) for path in files}
    unknown = [str(path) for path, number in numbers.items() if number is None or int(number[0]) not in labels]
    if unknown or not files:
        what = f"no label is known of {and_more(unknown)}" if unknown else f"{folder} holds no image"
        raise InputError(f"data.root: {what}; expected val/ILSVRC2012_val_00000001.JPEG and so on")
    left_out = 0
    for path, number in numbers.items():
        assert number is not None
        own = of_class.get(labels[int(number[0])])
        if own is None:
            left_out += 1
        else:
            own.append(path)
    return list(of_class.values()), left_out


def _validation_labels(root: Path) -> dict[int, str]:
    """Return the WordNet id of each validation image, by its number from 1."""
    if (root / KIT_LABELS).is_file():
        return _labels_of_the_kit(root)
    if (root / KAGGLE).is_file():
        return _labels_of_kaggle(root / KAGGLE)
    raise InputError(
        f"data.root: {root / VAL} has no folders of classes, and the labels are neither in {root / KIT_LABELS} "
        f"(unpack ILSVRC2012_devkit_t12.tar.gz there) nor in {root / KAGGLE}"
    )


def _labels_of_the_kit(root: Path) -> dict[int, str]:
    from scipy.io import loadmat  # here: only this form of the set needs it

    path = root / KIT_CLASSES
    try:
        rows = loadmat(path, squeeze_me=True)["synsets"]
        wordnet_ids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
    except Exception as error:  # a damaged file can raise nearly anything
        raise InputError(f"data.root: cannot read {path} ({error}); unpack the development kit again") from None
    labels = {}
    for number, line in enumerate(lines_of(root / KIT_LABELS, "data.root"), start=1):
        text = line.strip()
        if not text.isdecimal() or int(text) not in wordnet_ids:
            raise InputError(f"data.root: {root / KIT_LABELS}, line {number}: {text[:40]!r} is no class of {path}")
        labels[number] = wordnet_ids[int(text)]
    return labels


def _labels_of_kaggle(path: Path) -> dict[int, str]:
    labels = {}
    for number, row in enumerate(csv.reader(lines_of(path, "data.root")), start=1):
        if number == 1 and row[:1] == ["ImageId"]:
            continue
        image = NUMBER.search(row[0]) if len(row) > 1 else None
        wordnet_id = row[1].split(" ")[0] if len(row) > 1 else ""
        if image is None or not WORDNET_ID.fullmatch(wordnet_id):
            raise InputError(f"data.root: {path}, line {number}: expected ILSVRC2012_val_<number>,<WordNet id> <box>")
        labels[int(image[0])] = wordnet_id
    return labels


def _with_meanings(wordnet_ids: list[str]) -> list[str]:
    """Return "n01440764 tench" for each, or the id alone where its meaning is not known."""
    from timm.data import ImageNetInfo  # here: it takes seconds to import

    known = ImageNetInfo()
    meanings = {name: known.label_name_to_description(name).split(",")[0] for name in known.label_names()}
    return [f"{name} {meanings.get(name, '')}".rstrip() for name in wordnet_ids]
