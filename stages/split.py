"""split: read the source, choose the forget classes, write the manifest and the pixels."""

from pathlib import Path

from unlearning.data.batches import save_pixels
from unlearning.data.manifest import Manifest, save_manifest
from unlearning.data.stamps import save_stamps
from unlearning.inputs import compared_by
from unlearning.params_file import load_params
from unlearning.sources import load_source
from unlearning.splitting.classes import repeated_classes
from unlearning.splitting.images import prepare
from unlearning.splitting.request import unread_lists
from unlearning.stage import run_stage


def main() -> None:
    params = load_params()
    source = load_source(params.data)
    prepared = prepare(source, params.data, params.forget, by=compared_by())
    if params.original.checkpoint is not None:
        from unlearning.models.given import trained_on  # here: it loads timm, which takes seconds

        if not trained_on(params.original, prepared.manifest):
            prepared = prepare(source, params.data, params.forget, given=True, by=compared_by())
    for name, pixels in prepared.pixels.items():
        save_pixels(name, pixels)
    for name, stamps in prepared.stamps.items():
        save_stamps(name, stamps)
    save_manifest(prepared.manifest)
    manifest = prepared.manifest
    chosen = [_class(manifest, label, source.folder, "to forget") for label in manifest.forget_classes]
    chosen += [_class(manifest, label, source.folder, "erased before") for label in manifest.erased_before]
    lists = unread_lists(params.forget)
    lists += repeated_classes(params.forget, source.classes) if manifest.forget_classes else [_samples(manifest)]
    print("\n".join([*chosen, *lists, *source.notes, *prepared.notes, *_stand_ins(manifest)]))
    print(f"split {manifest.hash}: {_counts(manifest)} of {len(source.classes)} classes")


def _class(manifest: Manifest, label: int, folder: Path | None, what: str) -> str:
    """Return what lets the user see that this is the class meant: its name, place, folder and numbers of images."""
    name = manifest.classes[label]
    where = "" if folder is None else f", folder {folder / name}"
    return f"{what}: {name!r}, at place {label} of the classes from 0{where}: {_counts(manifest, label)}"


def _samples(manifest: Manifest) -> str:
    """Return how many samples are to be forgotten, and of how many classes."""
    labels = manifest.splits["train"].labels[list(manifest.forget_samples)]
    return f"to forget: {len(labels)} training images of {len(set(labels.tolist()))} classes"


def _stand_ins(manifest: Manifest) -> list[str]:
    """Say which images of the other splits are training images too, and so what cannot be measured."""
    validation, test = (len(manifest.splits[name].borrowed) for name in ("validation", "test"))
    notes = []
    if validation:
        notes.append(f"validation split: {validation} training images, which only `make search` holds back")
    if test:
        notes.append(
            f"test split: {test} training images stand in, as the given model may have seen all there are; attacks are "
            "judged by them, and what asks for images it has not seen (TFA, TRA, MIA) leaves them out"
        )
    return notes


def _counts(manifest: Manifest, label: int | None = None) -> str:
    """Return the numbers of images of each split, of one class or of all."""
    parts = {"train": "training", "validation": "validation", "test": "test"}
    labels = {said: manifest.splits[name].labels for name, said in parts.items()}
    counts = [f"{len(of) if label is None else (of == label).sum()} {said}" for said, of in labels.items()]
    return f"{', '.join(counts)} images"


if __name__ == "__main__":
    run_stage(main)
