"""evaluate <model>: everything that one model alone tells: accuracies, probes, attacks, features, information."""

import json
import sys
from pathlib import Path
from typing import Any

from unlearning.budgets import refuse_excess_of_measuring
from unlearning.data.manifest import FORGET, MANIFEST, Manifest, has_images_to_forget, load_earlier, load_manifest
from unlearning.engine.launch import Launch, launch
from unlearning.engine.repetitions import Needs, place_all, repeat
from unlearning.engine.resume import ResumeState
from unlearning.evaluation.measuring import PARTS, Subject, measure
from unlearning.evaluation.shared import save_shared
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.files import sha256_known, write_json
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, load_model
from unlearning.models.header import origin_of
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.records.measured import measured_record
from unlearning.run_record import Recorder
from unlearning.stage import run_stage

FEATURES, EARLIER, RAW = "features.safetensors", "earlier.safetensors", "raw.json"  # what one seed leaves in its folder


def main() -> None:
    name, params = sys.argv[1], load_params()
    record = Recorder(f"evaluate@{name}")
    where = launch(params.precision)
    identity = params.model_dump(
        include={
            "precision",
            "evaluate",
            "linear_probe",
            "attacks",
            "prototype",
            "relearn",
            "retain_only",
            "batchnorm",
            "predictors",
            "mutual_information",
        }
    )
    refuse_excess_of_measuring(params, load_manifest())
    split, earlier = params.evaluate.split, load_earlier()
    manifests = load_manifest().judged_on(split), earlier and earlier.judged_on(split)
    watch = Stopwatch(where, PARTS)

    def work(seed: int, folder: Path, _: ResumeState) -> None:
        measured(name, seed, folder, manifests, params, where, watch)

    def needs(seed: int) -> Needs:
        return Needs(identity, [MANIFEST, FORGET, *(checkpoint_path(model, seed) for model in ("original", name))])

    folders = repeat(f"evaluate@{name}", params.seeds, where, needs, work)
    if not where.main:
        return
    features = Path("metrics/features") / name
    place_all(folders, FEATURES, features)
    if all((folder / EARLIER).is_file() for folder in folders.values()):
        place_all(folders, EARLIER, features / "earlier")
    raw = {seed: json.loads((folder / RAW).read_text(encoding="utf-8")) for seed, folder in folders.items()}
    numbers = Path(f"metrics/raw/{name}.json")
    write_json(numbers, raw)
    models = [checkpoint_path(model, seed) for seed in params.seeds for model in ("original", name)]
    inputs = [MANIFEST, FORGET, *models]
    record.write(identity, params.seeds, manifests[0].hash, inputs, [numbers, features], where)
    print(f"evaluate {name}: {watch.report()}")


def measured(
    name: str,
    seed: int,
    folder: Path,
    manifests: tuple[Manifest, Manifest | None],
    params: Params,
    where: Launch,
    watch: Stopwatch,
) -> None:
    """Measure by this request and, where classes were erased before, by the earlier ones."""
    manifest, earlier = manifests
    own, original = (load_model(one, seed, manifest) for one in (name, "original"))
    refuse_another_original(name, seed, own, original)
    subject = Subject(name, seed, own.model, original.model)
    with watch.round(str(subject)):
        found = measure(subject, manifest, params, where, watch)
    before = None
    if earlier is not None and has_images_to_forget(earlier):
        with watch.round(f"{subject}, classes erased before"):
            before = measure(subject, earlier, params, where, watch, informed=False)
    if found is None:  # another process writes
        return
    raw, shared = found
    save_shared(shared, folder / FEATURES)
    chain = chain_of(subject, manifest, own, original) | {"features": sha256_known(folder / FEATURES)}
    if before is not None:
        raw["earlier"], shared = before
        save_shared(shared, folder / EARLIER)
        chain["earlier_features"] = sha256_known(folder / EARLIER)
    write_json(folder / RAW, measured_record(chain, raw))


def chain_of(subject: Subject, manifest: Manifest, own: Checkpoint, original: Checkpoint) -> dict[str, Any]:
    """Return which model of which samples is measured."""
    return {
        "model": subject.name,
        "seed": subject.seed,
        "split": manifest.hash,
        "forget": manifest.forget_hash,
        "checkpoint": own.sha256,
        "weights": own.weights,
        "original": original.sha256,
    }


def refuse_another_original(name: str, seed: int, own: Checkpoint, original: Checkpoint) -> None:
    """Raise InputError for a model that came from another original than the one that it would be set beside."""
    if own.header.original not in (None, original.sha256):
        path = checkpoint_path(name, seed)
        origin_of(path).refuse(path, f"it came from another original than {checkpoint_path('original', seed)}")


if __name__ == "__main__":
    run_stage(main)
