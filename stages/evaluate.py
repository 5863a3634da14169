"""evaluate <model>: everything that one model alone tells: accuracies, features, mutual information."""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import load_manifest
from unlearning.engine.launch import launch
from unlearning.errors import run_stage
from unlearning.evaluation.forward_pass import balanced_sample, forward_pass
from unlearning.files import write_atomically, write_json
from unlearning.metrics.accuracy import per_class_accuracy, split_accuracy
from unlearning.metrics.mutual_information import label_entropy, measure_layers
from unlearning.models.checkpoint import load_checkpoint
from unlearning.models.taps import check_layers, evaluation_layers
from unlearning.params import load_params


def main() -> None:
    name, params, manifest = sys.argv[1], load_params(), load_manifest()
    where = launch(params.precision)
    model = load_checkpoint(Path("models") / f"{name}.safetensors", manifest).model
    layers = check_layers(model, params.evaluate.layers or evaluation_layers(model), "evaluate.layers")
    critics = params.mutual_information
    measured = layers[-3:] if critics.layers is None else critics.layers
    measured = check_layers(model, measured, "mutual_information.layers")
    sample = balanced_sample(manifest, "train", critics.max_samples, critics.seed)

    batch_size = params.evaluate.batch_size
    train, test = (ImageSplit(manifest, split, where.device, params.data.workers) for split in ("train", "test"))
    on_train = forward_pass(model, train, where, batch_size, map_layers=measured, map_positions=sample)
    on_test = forward_pass(model, test, where, batch_size, layers=layers)
    is_forget = torch.from_numpy(np.isin(manifest.splits["train"].labels[sample], manifest.forget_classes)).long()
    information = measure_layers(model, on_train.maps, is_forget, critics, where.device)

    forget_acc, retain_acc = split_accuracy(on_train.predictions, on_train.labels, manifest.forget_classes)
    test_forget_acc, test_retain_acc = split_accuracy(on_test.predictions, on_test.labels, manifest.forget_classes)
    forgotten = torch.from_numpy(manifest.select("test", "forget"))
    features = {layer: values[forgotten].contiguous() for layer, values in on_test.features.items()}
    write_atomically(Path(f"metrics/features/{name}.safetensors"), lambda path: save_file(features, path))
    write_json(
        Path(f"metrics/raw/{name}.json"),
        {
            "forget_acc": forget_acc,
            "retain_acc": retain_acc,
            "test_forget_acc": test_forget_acc,
            "test_retain_acc": test_retain_acc,
            "layers": [*layers, "penultimate"],
            "mutual_information": information,
            "label_entropy": label_entropy(is_forget),
            "test_acc_per_class": per_class_accuracy(on_test.predictions, on_test.labels, len(manifest.classes)),
        },
    )


if __name__ == "__main__":
    run_stage(main)
