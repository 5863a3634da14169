"""compare: everything that needs two models or more, then the report and the figures."""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from unlearning.comparison import Evidence, Result, Shadow, compare_model, yardstick
from unlearning.data.manifest import Manifest, load_manifest
from unlearning.data.scenarios import class_id
from unlearning.errors import InputError, run_stage
from unlearning.evaluation.shared import load_shared
from unlearning.figures.cka_layers import draw_cka_layers
from unlearning.figures.per_class import write_per_class
from unlearning.figures.relearn import draw_prototypes, draw_relearning
from unlearning.figures.report import report
from unlearning.figures.retrieval import choose_queries, draw_retrieval
from unlearning.figures.tsne import draw_tsne
from unlearning.files import write_atomically, write_json
from unlearning.params import REFERENCES, Figures
from unlearning.params_file import load_params


def main() -> None:
    params, manifest = load_params(), load_manifest()
    sets = [entry.name for entry in params.downstream]
    evidence = {name: read_evidence(name, sets) for name in [*REFERENCES, *params.methods]}
    shadows = [read_shadow(number) for number in params.lira.shadows]
    beside = yardstick(evidence["original"], evidence["retrained"], manifest, params.idi, params.cka, shadows)
    results = {name: compare_model(one, beside) for name, one in evidence.items()}
    write_numbers(results, params.headline, manifest)
    draw_curves(results, evidence)
    draw_pictures(evidence, params.figures, manifest)
    print(Path("metrics/report.md").read_text(encoding="utf-8"))


def write_numbers(results: dict[str, Result], headline: str, manifest: Manifest) -> None:
    for name, result in results.items():
        write_json(Path(f"metrics/models/{name}.json"), result.metrics)
        write_json(Path(f"metrics/details/{name}.json"), result.details)
    shutil.copyfile(f"metrics/models/{headline}.json", "metrics/headline.json")
    metrics = {name: result.metrics for name, result in results.items()}
    details = {name: result.details for name, result in results.items()}
    text = report(metrics, details)
    write_atomically(Path("metrics/report.md"), lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(Path("metrics/per_class.csv"), lambda path: write_per_class(details, manifest, path))


def draw_curves(results: dict[str, Result], evidence: dict[str, Evidence]) -> None:
    cka = {name: result.details["cka_layers"] for name, result in results.items()}
    write_atomically(Path("plots/cka_layers.png"), lambda path: draw_cka_layers(cka, path))
    relearned, imprinted = attack_curves(evidence, "relearn"), attack_curves(evidence, "prototype")
    write_atomically(Path("plots/relearn.png"), lambda path: draw_relearning(relearned, path))
    write_atomically(Path("plots/prototype.png"), lambda path: draw_prototypes(imprinted, path))


def attack_curves(evidence: dict[str, Evidence], attack: str) -> dict[str, dict[str, float]]:
    return {name: {"0": one.raw["test_forget_acc"], **one.raw[attack]["forget"]} for name, one in evidence.items()}


def draw_pictures(evidence: dict[str, Evidence], cfg: Figures, manifest: Manifest) -> None:
    shown = {name: evidence[name].shared.test for name in dict.fromkeys([*REFERENCES, *cfg.models])}
    sample = evidence["original"].shared
    first = manifest.forget_classes[0]
    if cfg.forget_class is not None:
        first = class_id(cfg.forget_class, manifest.classes, "figures.forget_class")
    queries = choose_queries(sample.test_labels, manifest.forget_classes, first, cfg.queries, cfg.seed)
    write_atomically(
        Path("plots/tsne.png"), lambda path: draw_tsne(shown, sample.test_labels, first, manifest, cfg.seed, path)
    )
    write_atomically(
        Path("plots/retrieval.png"),
        lambda path: draw_retrieval(
            shown, sample.test_labels, sample.test_positions, queries, cfg.neighbours, manifest, path
        ),
    )


def read_evidence(name: str, sets: list[str]) -> Evidence:
    raw = read_json(Path(f"metrics/raw/{name}.json"))
    shared = load_shared(Path(f"metrics/features/{name}.safetensors"), raw["layers"])
    transfer = {one: read_json(Path(f"metrics/transfer/{one}/{name}.json"))["knn_acc"] for one in sets}
    return Evidence(raw, shared, read_json(Path(f"metrics/cost/{name}.json")), transfer)


def read_json(path: Path) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} not found; run `dvc repro`, which evaluates {path.stem} first") from None
    return fields


def read_shadow(number: int) -> Shadow:
    path = Path(f"metrics/shadows/{number}.safetensors")
    if not path.is_file():
        raise InputError(f"{path} not found; run `dvc repro`, which trains the shadow models of lira.shadows first")
    return Shadow(**load_file(path))


if __name__ == "__main__":
    run_stage(main)
