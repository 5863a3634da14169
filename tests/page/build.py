"""The page of a made-up comparison, written into the present folder with all that it reads."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from tests.conftest import values_of_params
from unlearning.comparison.earlier import Earlier
from unlearning.data.batches import save_pixels
from unlearning.data.manifest import Manifest, Split
from unlearning.over_seeds import Summary
from unlearning.page.content import Content, content
from unlearning.page.gallery import Gallery, gallery
from unlearning.params import ANOTHER, REFERENCES, Figures, is_audited
from unlearning.params_file import load_params

IMAGES = 80  # of each class and split


def manifest_of(classes: list[str], erased: list[int], images: int = IMAGES) -> Manifest:
    """Return a split of so many images of each class, and write the test pixels."""
    labels = np.arange(len(classes) * images) % len(classes)
    splits = {name: Split([str(place) for place in range(len(labels))], labels) for name in ("train", "test")}
    save_pixels("test", torch.from_numpy(labels % 200).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8))
    return Manifest("made-up", classes, 8, 1, [0.0], [1.0], None, "content", splits, forget_classes=erased)


def with_classes(models: dict[str, Summary], classes: int) -> dict[str, Summary]:
    """Return the models with an accuracy for each class, another one under each model."""
    random = np.random.default_rng(0)
    return {name: _with_classes(one, (90 + 10 * random.random(classes)).tolist()) for name, one in models.items()}


def _with_classes(one: Summary, accuracy: list[float]) -> Summary:
    return replace(one, details=one.details | {"mean": one.mean | {"test_acc_per_class": accuracy}})


def content_of(
    models: dict[str, Summary], manifest: Manifest, epochs: int = 20, earlier: Earlier | None = None, **changes: Any
) -> Content:
    """Return what the page says of the models, after their files were written; changes: blocks of params.yaml."""
    methods = [name for name in models if name not in (*REFERENCES, ANOTHER) and not is_audited(name)]
    values = values_of_params()
    values["methods"] = {name: {"start": "original"} for name in methods}
    values["references"] = {name: one for name, one in values["references"].items() if name in models}
    values["seeds"] = [int(seed) for seed in models["original"].details["seeds"]]
    figures = {"models": [], "photos": True}
    values |= {"headline": methods[0], "figures": values["figures"] | figures} | changes
    Path("params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    for name, one in models.items():
        write_metrics(name, one)
        write_log(name, epochs, seeds=len(values["seeds"]))
    return content(
        models,
        manifest,
        load_params(),
        pictures_of(manifest, [*values["references"], methods[0]], load_params().figures),
        earlier,
    )


def write_metrics(name: str, one: Summary) -> None:
    path = Path(f"metrics/models/{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(one.metrics))


def write_log(name: str, epochs: int, seeds: int) -> None:
    path = Path(f"plots/curves/{name}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "epoch", "step", "lr", "loss", "validation_retain_acc"])
        writer.writerows(
            [seed, epoch, 10 * epoch, 0.1, f"{2.123456 / epoch:.6g}", f"{99.123 - 30 / epoch:.6g}"]
            for seed in range(seeds)
            for epoch in range(1, epochs + 1)
        )


def pictures_of(manifest: Manifest, models: list[str], figures: Figures) -> Gallery:
    """Return a gallery of random features."""
    labels = torch.from_numpy(manifest.splits["test"].labels)
    random = torch.Generator().manual_seed(0)
    features = {name: torch.randn(len(labels), 6, generator=random) for name in models}
    return gallery(features, labels, torch.arange(len(labels)), figures, manifest)
