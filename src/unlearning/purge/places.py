"""Where copies of the erased images and of the original model come to lie, and which of them can be removed here."""

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unlearning.data.manifest import SPLIT_FOLDER, Manifest, load_erased
from unlearning.errors import InputError
from unlearning.models.checkpoint import CHECKPOINTS, Header, read_header
from unlearning.page.pictured import shows
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.yaml_text import parsed

Kind = Literal["images", "original"]
KINDS: tuple[Kind, ...] = ("images", "original")
HOLD_THE_ORIGINAL = {"original": "train@original", "ec_modules": "pretrain_ec"}  # model: the stage that wrote it
SCRATCH, TEMPORARY = Path(".scratch"), Path(".dvc/tmp/exps")
RETRIEVAL, PAGE = Path("plots/retrieval.png"), Path("metrics/report.html")
PIXELS = "train.npy"  # by which a folder of a split is known


@dataclass(frozen=True)
class Place:
    """A place where copies lie: `files` are removed on request, for the rest `advice` says what its owner can do."""

    what: str
    files: tuple[Path, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class Repository:
    """The repository and what its present run is about."""

    root: Path
    params: Params
    manifest: Manifest
    cache: Path  # DVC's
    remotes: dict[str, str]  # DVC's: name and where

    def inside(self, path: Path) -> bool:
        """Return whether a file lies below the repository, links in its path followed."""
        return (self.root / path).resolve().is_relative_to(self.root)


def repository() -> Repository:
    """Return the repository in the working directory.

    Raises InputError where there is no split, or no choice of classes: then nothing says what was erased.
    """
    root = Path.cwd().resolve()
    cache = Path(_said_by("dvc", "cache", "dir").strip())
    remotes = dict(line.split("\t", 1) for line in _said_by("dvc", "remote", "list").splitlines() if "\t" in line)
    return Repository(root, load_params(), load_erased(), (root / cache).resolve(), remotes)


def places_of(kind: Kind, here: Repository) -> list[Place]:
    """Return where copies of the erased images, or of the original model, lie; empty places are left out."""
    finders: dict[Kind, list[Callable[[Repository], list[Place]]]] = {
        "images": [_split, _cached_splits, _scratch, _figures, _pages, _sources, _features],
        "original": [_models, _cached_models, _scratch, _given],
    }
    return [place for find in [*finders[kind], _remotes] for place in find(here) if place.files or place.advice]


def erased_images(here: Repository) -> Iterator[bytes]:
    """Yield the bytes of each erased image: its pixels in data/split, and the file it was read from where it is there.

    An image that the test split borrows from the training split comes twice.
    """
    for name in here.manifest.splits:
        chosen = np.flatnonzero(here.manifest.to_forget(name))
        pixels = SPLIT_FOLDER / f"{name}.npy"
        if pixels.is_file():
            held = np.load(pixels, mmap_mode="r")
            yield from (held[position].tobytes() for position in chosen)
    for path in _image_files(here):
        yield path.read_bytes()


def original_weights() -> Iterator[bytes]:
    """Yield the bytes of each tensor of the original model, of every seed, that is large enough to know it by."""
    from safetensors.numpy import load_file  # here: the listing alone does without

    for path in sorted((CHECKPOINTS / "original").glob("*.safetensors")):
        tensors = load_file(path)
        yield from (one.tobytes() for one in tensors.values() if one.nbytes >= 256)


def _split(here: Repository) -> list[Place]:  # noqa: ARG001
    return [Place(f"{SPLIT_FOLDER}: the pixels of all images", tuple(sorted(SPLIT_FOLDER.glob("*.npy"))))]


def _cached_splits(here: Repository) -> list[Place]:
    """Find the pixels of this and of earlier splits with a class, or a sample, of such a name, of whatever commit."""
    objects, splits = list[Path](), 0
    for entries in cached_folders(here.cache):
        if PIXELS in entries and _names_what_was_erased(entries.get("manifest.json"), here):
            splits += 1
            objects += [path for name, path in entries.items() if name.endswith(".npy") and path.is_file()]
    what = f"DVC's cache: pixels of {splits} split{'s' * (splits != 1)}, of this run and of earlier ones"
    return [_in_cache(what, objects, here)]


def _names_what_was_erased(manifest: Path | None, here: Repository) -> bool:
    if manifest is None or not manifest.is_file():
        return True  # nobody can say that it has none of them
    written = json.loads(manifest.read_text(encoding="utf-8"))
    if here.manifest.forget_samples:
        return not set(written["splits"]["train"]["ids"]).isdisjoint(here.manifest.erased_samples)
    return not set(written["classes"]).isdisjoint(here.manifest.erased)


def _scratch(here: Repository) -> list[Place]:  # noqa: ARG001
    kept = _files(SCRATCH)
    copies = [path for path in _files(TEMPORARY) if not {"split", *HOLD_THE_ORIGINAL}.isdisjoint(path.parts)]
    return [
        Place(f"{SCRATCH}: what stages keep to go on from (models, features)", kept),
        Place(f"{TEMPORARY}: copies that `dvc exp run --temp` and `--queue` made", tuple(copies)),
    ]


def _figures(here: Repository) -> list[Place]:
    drawn = [RETRIEVAL] if RETRIEVAL.is_file() and here.params.figures.queries else []
    return [
        Place("figures that show them, if drawn with figures.photos", (*drawn, *_published(str(RETRIEVAL), here))),
        _in_history(here, str(RETRIEVAL), f"results/*/{RETRIEVAL}"),
    ]


def _pages(here: Repository) -> list[Place]:
    """Find the pages that say, in their heads, that images of an erased class are in them."""
    copies = [path for path in _files(TEMPORARY) if path.name == PAGE.name]
    pages = [PAGE] if PAGE.is_file() else []
    own, cached = (
        [path for path in paths if shows(path, here.manifest.erased)]
        for paths in ([*pages, *_published(PAGE.name, here), *copies], cached_files(here.cache))
    )
    return [
        Place(f"{PAGE} and its copies, which show them", tuple(own)),
        _in_cache("DVC's cache: such pages of this run and of earlier ones", cached, here),
        _in_history(here, f"results/*/{PAGE.name}"),
    ]


def _published(name: str, here: Repository) -> list[Path]:
    return [path for folder in Path("results").glob("*") if _same_data(folder, here) for path in folder.glob(name)]


def _in_history(here: Repository, *patterns: str) -> Place:
    asked = ("git", "log", "--all", "--format=%h", "--", *patterns)
    commits = _said_by(*asked).split() if (here.root / ".git").exists() else []
    globs = " ".join(f"--path-glob '{pattern}'" for pattern in patterns)
    advice = f"{len(commits)} commits hold it; where it shows them, rewrite the history: git filter-repo --invert-paths"
    return Place(f"git's history of {patterns[0]}", advice=f"{advice} {globs}" if commits else "")


def _same_data(results: Path, here: Repository) -> bool:
    """Return whether published results are of the images of this run; where nobody can say, they may be."""
    with suppress(OSError, KeyError, TypeError, InputError):
        data: dict[str, Any] = parsed((results / "params.yaml").read_text(encoding="utf-8"))["data"]
        return bool((data["name"], data["root"]) == (here.params.data.name, here.params.data.root))
    return True


def _sources(here: Repository) -> list[Place]:
    files = _image_files(here)
    own = [path for path in files if here.inside(path)]
    away = len(files) - len(own)
    note = f"{away} files outside this repository, of which nothing is ever removed: delete them there" if away else ""
    return [Place(f"{here.params.data.root} (data.root)", tuple(own)), Place(here.params.data.root, advice=note)]


def _image_files(here: Repository) -> list[Path]:
    """Return the files that the erased images were read from, as far as they are there."""
    root = Path(here.manifest.root or here.params.data.root)
    erased = [
        root / split.ids[position]
        for name, split in here.manifest.splits.items()
        for position in np.flatnonzero(here.manifest.to_forget(name))
    ]
    return [path for path in dict.fromkeys(erased) if path.is_file()]


def _features(here: Repository) -> list[Place]:  # noqa: ARG001
    there = any(Path("metrics/features").glob("*/*.safetensors"))
    advice = "derived data, which `compare`, `report` read: to be without, delete the folder, then `dvc gc --workspace`"
    return [Place("metrics/features: features of some of the images, no pixels", advice=advice if there else "")]


def _models(here: Repository) -> list[Place]:  # noqa: ARG001
    return [
        Place(f"{CHECKPOINTS / name}: {what}", tuple(sorted((CHECKPOINTS / name).glob("*.safetensors"))))
        for name, what in (("original", "the model"), ("ec_modules", "the model with EC modules beside it"))
    ]


def _cached_models(here: Repository) -> list[Place]:
    objects = [path for path in cached_files(here.cache) if _holds_the_original(_header(path), here)]
    return [_in_cache("DVC's cache: originals of this run and of earlier ones", objects, here)]


def _holds_the_original(header: Header | None, here: Repository) -> bool:
    """By samples nobody can tell what a model has seen: any original of these classes may have."""
    if header is None or header.stage not in HOLD_THE_ORIGINAL.values():
        return False
    return not set(header.classes).isdisjoint(here.manifest.erased or here.manifest.classes)


def _header(path: Path) -> Header | None:
    try:
        return read_header(path)
    except InputError:  # of another version of this pipeline
        return None


def _given(here: Repository) -> list[Place]:
    files = [path for path in dict.fromkeys(here.params.original.files) if path.is_file()]
    own = [path for path in files if here.inside(path)]
    away = [str(path) for path in files if path not in own]
    note = "outside this repository, where nothing is ever removed: delete it there, and where it is deployed"
    return [Place("original.checkpoint", tuple(own)), Place(", ".join(away), advice=note if away else "")]


def _remotes(here: Repository) -> list[Place]:
    """Name DVC's remotes: what was pushed stays there until it is collected by the user."""
    return [
        Place(
            f"DVC's remote {name!r} ({where})",
            advice="`dvc push` may have copied them; after the purge, with dvc.lock and params.yaml committed: "
            f"dvc gc --workspace --cloud --remote {name}",
        )
        for name, where in here.remotes.items()
    ]


def _in_cache(what: str, objects: Iterable[Path], here: Repository) -> Place:
    """Return the place of cached objects; a cache outside the repository may be others' too."""
    files = tuple(sorted(set(objects)))
    if not files or here.inside(here.cache):
        return Place(what, files)
    return Place(
        f"{what} ({here.cache})",
        advice=f"{len(files)} files outside this repository, where nothing is ever removed; after the purge: "
        "dvc gc --workspace, if no other project uses this cache",
    )


def cached_folders(cache: Path) -> Iterator[dict[str, Path]]:
    """Yield {name: cached object} of each folder that DVC's cache holds."""
    for listing in sorted(cache.glob("files/md5/??/*.dir")):
        entries = json.loads(listing.read_text(encoding="utf-8"))
        yield {one["relpath"]: cache / "files/md5" / one["md5"][:2] / one["md5"][2:] for one in entries}


def cached_files(cache: Path) -> list[Path]:
    """Return every file that DVC's cache holds."""
    return sorted(path for path in cache.glob("files/md5/??/*") if path.suffix != ".dir" and path.is_file())


def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(Path(inside) / name for inside, _, names in os.walk(folder) for name in names))


def _said_by(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{' '.join(command[:3])} failed ({done.stderr.strip()}); run in the root of the repository")
    return done.stdout
