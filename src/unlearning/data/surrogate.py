"""Images of something else, from any folder, that stand in for the retain set where a method asks for them (SCAR)."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from unlearning.data.images import EXTENSIONS, image_files
from unlearning.data.manifest import Manifest, Split
from unlearning.errors import InputError

SURROGATE = "surrogate"  # name of the split
UNLABELLED = -1


def surrogate_manifest(folder: Path, key: str, manifest: Manifest) -> Manifest:
    """Return a manifest whose one split, `surrogate`, has all images below a folder, streamed and scaled as the data.

    key: of params.yaml, for the message. Raises InputError when the folder is missing or has no image.
    """
    if not folder.is_dir():
        raise InputError(f"{key}: there is no folder {folder}; give one with images, or leave it empty")
    files = image_files(folder)
    if not files:
        raise InputError(f"{key}: no image ({', '.join(EXTENSIONS)}) below {folder}; give a folder with images")
    ids = [str(path.relative_to(folder)) for path in files]
    split = Split(ids, np.full(len(ids), UNLABELLED, dtype=np.int64))
    return replace(manifest, root=str(folder), splits={SURROGATE: split})
