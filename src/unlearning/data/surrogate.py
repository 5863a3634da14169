"""Images of something else, from any folder, that stand in for the retain set where a method asks for them (SCAR)."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from unlearning.data.image_files import EXTENSIONS, files_below, refuse_broken
from unlearning.data.manifest import Manifest, Split
from unlearning.data.reading import Rules
from unlearning.data.value_range import of_survey, survey
from unlearning.errors import InputError

SURROGATE = "surrogate"  # name of the split
UNLABELLED = -1
MOST_PIXELS = 89_478_485  # of an image, as data.max_pixels is by default (Pillow: 0.25 GiB of RGB)


def surrogate_manifest(folder: Path, key: str, manifest: Manifest) -> Manifest:
    """Return a manifest whose one split, `surrogate`, has all images below a folder, streamed and scaled as the data.

    Images of more than 8 bits are scaled by the range of values that they use themselves. key: of params.yaml, for the
    message. Raises InputError when the folder is missing, has no image, or one that cannot be opened.
    """
    if not folder.is_dir():
        raise InputError(f"{key}: there is no folder {folder}; give one with images, or leave it empty")
    found = files_below(folder)
    refuse_broken(found.bad, key)
    files = found.images
    if not files:
        raise InputError(f"{key}: no image ({', '.join(EXTENSIONS)}) below {folder}; give a folder with images")
    ids = [str(path.relative_to(folder)) for path in files]
    split = Split(ids, np.full(len(ids), UNLABELLED, dtype=np.int64))
    own = of_survey(manifest, survey(files, Rules(max_pixels=MOST_PIXELS)))
    return replace(own, root=str(folder), splits={SURROGATE: split})
