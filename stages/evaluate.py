"""evaluate <model>: everything that one model alone tells: accuracies, probes, attacks, features, information."""

import sys
from pathlib import Path

import numpy as np
import torch

from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import load_manifest
from unlearning.data.samples import balanced_sample, kept_sample
from unlearning.engine.launch import launch
from unlearning.errors import run_stage
from unlearning.evaluation.forward_pass import forward_pass
from unlearning.evaluation.information import ESTIMATORS, measure_layers
from unlearning.evaluation.numbers import (
    accuracies,
    diagnostics,
    linear_probes,
    membership,
    shared_of,
    with_forget_masks,
)
from unlearning.evaluation.relearning import relearning_curve
from unlearning.evaluation.shared import PENULTIMATE, save_shared
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.files import write_json
from unlearning.metrics.mutual_information import label_entropy
from unlearning.models.checkpoint import load_checkpoint
from unlearning.models.taps import check_layers, evaluation_layers
from unlearning.params_file import load_params


def main() -> None:
    name, params, manifest = sys.argv[1], load_params(), load_manifest()
    where, cfg, critics = launch(params.precision), params.evaluate, params.mutual_information
    model = load_checkpoint(Path("models") / f"{name}.safetensors", manifest).model
    layers = check_layers(model, cfg.layers or evaluation_layers(model), "evaluate.layers")
    measured = layers[-3:] if critics.layers is None else critics.layers
    measured = check_layers(model, measured, "mutual_information.layers")

    watch = Stopwatch(where)
    train, test = (ImageSplit(manifest, split, where.device, params.data.workers) for split in ("train", "test"))
    kept_train, kept_test = (kept_sample(len(split.labels), cfg.max_samples, cfg.seed) for split in (train, test))
    forget, retain = manifest.select("train", "forget"), manifest.select("train", "retain")
    sample = balanced_sample(forget, retain, critics.max_samples, critics.seed)
    with watch.part("forward passes"):
        on_train = forward_pass(
            model, train, where, cfg.batch_size, f"{name} on the training split", kept_train, layers, measured, sample,
            pool_maps=not ESTIMATORS[critics.estimator].on_maps,
        )  # fmt: skip
        on_test = forward_pass(model, test, where, cfg.batch_size, f"{name} on the test split", kept_test, layers)
    with watch.part("metrics"):
        passes = with_forget_masks(on_train, on_test, manifest)
        raw = accuracies(passes, manifest) | diagnostics(passes)
        raw["linear_probe"] = linear_probes(passes, len(manifest.classes), params.linear_probe, cfg.seed, where.device)
        raw["membership"] = membership(passes, cfg.seed)
    with watch.part("relearning"):
        raw["relearn"] = relearning_curve(model, manifest, test, params.relearn, where, params.data.workers)
    with watch.part("IDI's critics"):
        is_forget = torch.from_numpy(np.isin(sample, forget)).long()
        raw["mutual_information"] = measure_layers(model, on_train.maps, is_forget, critics, where.device)
        raw["label_entropy"] = label_entropy(is_forget)

    save_shared(shared_of(passes, cfg.shared_samples, cfg.seed), Path(f"metrics/features/{name}.safetensors"))
    write_json(Path(f"metrics/raw/{name}.json"), {"layers": [*layers, PENULTIMATE], **raw})
    print(f"evaluate {name}: {watch.report()}")


if __name__ == "__main__":
    run_stage(main)
