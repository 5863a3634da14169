"""`unlearning purge`, step by step: look around, remove, look again. What it returns are the lines to print."""

from collections.abc import Iterator
from dataclasses import dataclass

from unlearning.errors import InputError
from unlearning.purge.places import (
    KINDS,
    Kind,
    Place,
    Repository,
    erased_images,
    original_weights,
    places_of,
)
from unlearning.purge.removal import files_of, purge
from unlearning.purge.report import SHOWN, found_lines, headline, place_line, unknown_files
from unlearning.purge.search import Found, Pieces, search

ELSEWHERE = "  found where no place is known, so that nothing removes it for you"
SHARED = (
    "a model that holds tensors of the original was made by a method that left these layers as they were, or is what "
    "an earlier request made, from which this one began: delete it too (with `dvc gc --workspace`), or keep it "
    "knowingly"
)


@dataclass(frozen=True)
class Survey:
    """What is known of one kind before anything is removed: with it the search can be made again afterwards."""

    kind: Kind
    places: list[Place]
    pieces: Pieces
    found: Found


def survey(kind: Kind, here: Repository) -> Survey:
    """Find the places, and search for the bytes."""
    pieces = Pieces({"images": lambda: erased_images(here), "original": original_weights}[kind]())
    return Survey(kind, places_of(kind, here), pieces, search(pieces, here.root))


def survey_lines(one: Survey, here: Repository) -> Iterator[str]:
    """Yield what `unlearning purge` prints of one kind."""
    yield headline(one.kind, here)
    yield from map(place_line, one.places)
    yield from found_lines(one.kind, one.pieces, one.found)
    unknown = unknown_files(one.found, files_of(one.places), here.root)
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        yield f"{ELSEWHERE}: {', '.join(unknown[:SHOWN])}{more}"


def remove(surveys: list[Survey], here: Repository) -> Iterator[str]:
    """Remove the files of all places; yields what was done.

    Raises InputError, before anything is deleted, where the repository is not in the state that dvc.lock describes.
    """
    places, kinds = [place for one in surveys for place in one.places], [one.kind for one in surveys]
    files = files_of(places)
    changed = purge(here, kinds, places)
    yield f"removed: {len(files)} files"
    yield from (f"params.yaml: {line}" for line in changed)
    if "images" in kinds:
        yield "dvc.lock: data/split is the one without pixels, everywhere"
    yield (
        "from now on: `dvc repro --allow-missing`, as the original is missing; "
        if "original" in kinds
        else "from now on: `dvc repro`; "
    ) + "commit params.yaml and dvc.lock"


def prove(surveys: list[Survey], here: Repository) -> Iterator[str]:
    """Search again for what was there before; yields what was found; raises InputError in the end if it is anything."""
    left = 0
    for one in surveys:
        found = search(one.pieces, here.root)
        yield from found_lines(one.kind, one.pieces, found)
        if found.where and one.kind == "original":
            yield f"  {SHARED}"
        left += len(found.where)
    if left:
        raise InputError(
            f"purge: {left} files of this repository still hold what was searched for; they are named above"
        )


def chosen_kinds(images: bool, original: bool) -> list[Kind]:
    """Return the kinds that were asked for; all, where none was."""
    asked = {"images": images, "original": original}
    return [kind for kind in KINDS if asked[kind]] or list(KINDS)
