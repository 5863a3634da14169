"""Office-Home: 65 kinds of objects in four domains, one folder each; no official split."""

from pathlib import Path

from unlearning.errors import InputError
from unlearning.params import DownstreamSet
from unlearning.sources.downstream import LabelledImages, expect_folder
from unlearning.sources.downstream.image_folder import class_tree

DOMAINS = ("Art", "Clipart", "Product", "Real World")
HOW = "unpack OfficeHomeDataset of its authors (Venkateswara et al. 2017) and give the folder with the domains as root"


def load(entry: DownstreamSet) -> LabelledImages:
    """List the images of one domain; "Real World" is found under its other spellings too (Real_World, RealWorld).

    Raises InputError for a missing or unknown domain.
    """
    if _plain(entry.domain or "") not in map(_plain, DOMAINS):
        raise InputError(f"downstream: {entry.name} needs a domain, one of {', '.join(DOMAINS)}, not {entry.domain!r}")
    root = expect_folder(entry, Path(entry.root), HOW)
    found = [path for path in root.iterdir() if path.is_dir() and _plain(path.name) == _plain(entry.domain or "")]
    return class_tree(entry, found[0] if found else expect_folder(entry, root / str(entry.domain), HOW))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
