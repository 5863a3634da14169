"""The stamps of a streamed split, beside the manifest.

The stage `split` keeps the stamp of each streamed image beside the manifest, and who reads the image later compares.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unlearning.data.file_stamps import WIDTH, By, looks_of
from unlearning.data.manifest import SPLIT_FOLDER, Manifest
from unlearning.errors import InputError
from unlearning.files import write_atomically


def stamp_files(paths: Sequence[Path], by: By) -> np.ndarray:
    """Return the stamps of files, uint8 (N, 16), hashed by several threads; raises OSError for one that is gone."""
    stamps = b"".join(stamp for _, stamp in looks_of(paths, by))
    return np.frombuffer(stamps, dtype=np.uint8).reshape(-1, WIDTH)


def content_of(ids: dict[str, list[str]], stamps: dict[str, np.ndarray], by: By) -> str:
    """Return the hash of a streamed set, 16 hexadecimal digits: of each split's ids and stamps, and what these are."""
    digest = hashlib.sha256(by.encode())
    for name, of_split in ids.items():
        digest.update("\0".join([name, *of_split, ""]).encode(errors="surrogateescape"))
        digest.update(stamps[name].tobytes())
    return digest.hexdigest()[:16]


def save_stamps(split: str, stamps: np.ndarray) -> None:
    """Write the stamps of a split, uint8 (N, 16), to where `load_stamps` reads them."""
    write_atomically(_file(split), lambda path: path.write_bytes(stamps.tobytes()))


def load_stamps(manifest: Manifest, split: str) -> np.ndarray | None:
    """Return the stamps of the samples of a split, uint8 (n, 16); None where its files are not compared.

    Raises InputError when the file is missing, or has not one stamp for each sample.
    """
    if manifest.told_by is None:
        return None
    own = manifest.splits[split]
    path = _file(own.pixels_of or split)
    try:
        held = np.fromfile(path, dtype=np.uint8).reshape(-1, WIDTH)
        stamps: np.ndarray = held if own.rows is None else held[own.rows]
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"cannot read {path} ({error}); run `dvc repro split`, or `dvc checkout`") from None
    if len(stamps) != len(own.ids):
        raise InputError(f"{path} has {len(stamps)} stamps for {len(own.ids)} images; run `dvc repro --force split`")
    return stamps


def _file(split: str) -> Path:
    return SPLIT_FOLDER / f"{split}.stamps"
