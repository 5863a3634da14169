"""evaluate <model>: everything that one model alone tells: accuracies, probes, attacks, features, information."""

import json
import sys
from pathlib import Path

from unlearning.budgets import refuse_excess_of_measuring
from unlearning.data.manifest import FORGET, MANIFEST, Manifest, has_images_to_forget, load_earlier, load_manifest
from unlearning.engine.launch import Launch, launch
from unlearning.engine.repetitions import Needs, place_all, repeat
from unlearning.engine.resume import ResumeState
from unlearning.evaluation.measuring import PARTS, Subject, measure
from unlearning.evaluation.shared import save_shared
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.files import write_json
from unlearning.models.checkpoint import checkpoint_path, load_checkpoint
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.stage import run_stage

FEATURES, EARLIER, RAW = "features.safetensors", "earlier.safetensors", "raw.json"  # what one seed leaves in its folder


def main() -> None:
    name, params = sys.argv[1], load_params()
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
    features = Path("metrics/features") / name
    place_all(folders, FEATURES, features)
    if all((folder / EARLIER).is_file() for folder in folders.values()):
        place_all(folders, EARLIER, features / "earlier")
    raw = {seed: json.loads((folder / RAW).read_text(encoding="utf-8")) for seed, folder in folders.items()}
    write_json(Path(f"metrics/raw/{name}.json"), raw)
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
    model, original = (load_checkpoint(checkpoint_path(one, seed), manifest).model for one in (name, "original"))
    subject = Subject(name, seed, model, original)
    with watch.round(str(subject)):
        raw, shared = measure(subject, manifest, params, where, watch)
    save_shared(shared, folder / FEATURES)
    if earlier is not None and has_images_to_forget(earlier):
        with watch.round(f"{subject}, classes erased before"):
            raw["earlier"], shared = measure(subject, earlier, params, where, watch, informed=False)
        save_shared(shared, folder / EARLIER)
    write_json(folder / RAW, raw)


if __name__ == "__main__":
    run_stage(main)
