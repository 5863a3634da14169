"""report: tables, figures, the page and the headline, from what `compare` found; it computes no number of a model."""

import shutil
from pathlib import Path

from unlearning.comparison.earlier import Earlier
from unlearning.comparison.measured import read_sample
from unlearning.comparison.origins import Link, runs_of
from unlearning.comparison.results import COMPARED, Results, read_results
from unlearning.data.manifest import FORGET, MANIFEST, Manifest, load_manifest
from unlearning.evaluation.shared import Sample
from unlearning.figures.chain import chain_section
from unlearning.figures.cka_layers import draw_cka_layers
from unlearning.figures.per_class import write_per_class
from unlearning.figures.relearn import draw_prototypes, draw_relearning
from unlearning.figures.report import report
from unlearning.figures.retrieval import choose_queries, draw_retrieval
from unlearning.figures.style import save_text
from unlearning.figures.tradeoff import draw_tradeoff
from unlearning.figures.tsne import draw_tsne
from unlearning.files import write_atomically, write_json
from unlearning.last_good import last_good
from unlearning.over_seeds import Summary
from unlearning.page.content import content
from unlearning.page.gallery import gallery
from unlearning.page.render import render
from unlearning.params import ANOTHER, Params
from unlearning.params_file import load_params
from unlearning.run_record import Recorder
from unlearning.splitting.classes import class_id
from unlearning.stage import run_stage

WRITTEN = [
    *(Path("metrics") / name for name in ("models", "details", "spread", "headline.json", "per_class.csv")),
    *(Path("metrics") / name for name in ("report.md", "report.html")),
    *(Path(f"plots/{name}.png") for name in ("cka_layers", "tradeoff", "relearn", "prototype", "tsne", "retrieval")),
]
NO_PICTURE = "There is no test image of a class to forget."
NO_QUERY = "figures.queries: 0: no picture is asked for."


def main() -> None:
    with last_good("report"):
        make_report()
    print(Path("metrics/report.md").read_text(encoding="utf-8"))


def make_report() -> None:
    params, record = load_params(), Recorder("report")
    manifest = load_manifest().judged_on(params.evaluate.split)
    results = read_results()
    shown = read_shown(params, results.chain)
    summaries, earlier = results.models, results.earlier
    write_numbers(results, params, manifest)
    draw_curves(summaries)
    write_atomically(Path("plots/tradeoff.png"), lambda path: draw_tradeoff(summaries, path))
    draw_pictures(shown, params, manifest)
    write_page(summaries, earlier, shown, params, manifest)
    read = [MANIFEST, FORGET, COMPARED, Path("metrics/features"), Path("plots/curves")]
    record.write(params.model_dump(mode="json"), params.seeds, manifest.hash, read, WRITTEN)


def write_numbers(results: Results, params: Params, manifest: Manifest) -> None:
    summaries, earlier = results.models, results.earlier
    again = earlier.models if earlier else {}
    for name, one in summaries.items():
        before = {"earlier": {"metrics": again[name].metrics, **again[name].details}} if name in again else {}
        write_json(Path(f"metrics/models/{name}.json"), one.metrics)
        write_json(Path(f"metrics/spread/{name}.json"), one.spread)
        write_json(Path(f"metrics/details/{name}.json"), one.details | before)
    shutil.copyfile(f"metrics/models/{params.headline}.json", "metrics/headline.json")
    text = report(summaries, earlier, params.evaluate.split)
    text += chain_section(runs_of(results.chain))
    write_atomically(Path("metrics/report.md"), lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(Path("metrics/per_class.csv"), lambda path: write_per_class(summaries, manifest, path))


def draw_curves(summaries: dict[str, Summary]) -> None:
    drawn = {name: one for name, one in summaries.items() if name != ANOTHER}
    cka = {name: one.mean["cka_layers"] for name, one in drawn.items()}
    write_atomically(Path("plots/cka_layers.png"), lambda path: draw_cka_layers(cka, path))
    relearned, imprinted = attack_curves(drawn, "relearn"), attack_curves(drawn, "prototype")
    write_atomically(Path("plots/relearn.png"), lambda path: draw_relearning(relearned, path))
    write_atomically(Path("plots/prototype.png"), lambda path: draw_prototypes(imprinted, path))


def attack_curves(drawn: dict[str, Summary], attack: str) -> dict[str, dict[str, float | None]]:
    return {name: {"0": one.mean["judged"]["forget"], **one.mean[attack]["forget"]} for name, one in drawn.items()}


def read_shown(params: Params, chain: list[Link]) -> dict[str, Sample]:
    """Return the features that pictures are of: the references' and the chosen models', of the first seed."""
    names = dict.fromkeys([*params.references, *params.figures.models])
    features = {link.model: link.features for link in chain if link.seed == params.seeds[0]}
    return {name: read_sample(name, params.seeds[0], features[name]) for name in names}


def draw_pictures(of_models: dict[str, Sample], params: Params, manifest: Manifest) -> None:
    cfg = params.figures
    shown = {name: sample.test for name, sample in of_models.items()}
    sample = of_models["original"]
    pictured = [label for label in manifest.forget_classes if label in sample.test_labels]
    if not pictured:
        for name in ("tsne", "retrieval"):
            write_atomically(Path(f"plots/{name}.png"), lambda path: save_text(NO_PICTURE, path))
        return
    first = pictured[0]
    if cfg.forget_class is not None:
        wished = class_id(cfg.forget_class, manifest.classes, "figures.forget_class")
        first = wished if wished in pictured else first
    order = [first, *(label for label in pictured if label != first)]
    write_atomically(
        Path("plots/tsne.png"), lambda path: draw_tsne(shown, sample.test_labels, order, manifest, cfg.seed, path)
    )
    if cfg.queries == 0:
        write_atomically(Path("plots/retrieval.png"), lambda path: save_text(NO_QUERY, path))
        return
    queries = choose_queries(sample.test_labels, manifest.forget_classes, first, cfg.queries, cfg.seed)
    write_atomically(
        Path("plots/retrieval.png"),
        lambda path: draw_retrieval(
            shown, sample.test_labels, sample.test_positions, queries, cfg.neighbours, manifest, cfg.photos, path
        ),
    )


def write_page(
    summaries: dict[str, Summary],
    earlier: Earlier | None,
    of_models: dict[str, Sample],
    params: Params,
    manifest: Manifest,
) -> None:
    features = {name: sample.test for name, sample in of_models.items()}
    sample = of_models["original"]
    pictures = gallery(features, sample.test_labels, sample.test_positions, params.figures, manifest)
    text = render(content(summaries, manifest, params, pictures, earlier))
    write_atomically(Path("metrics/report.html"), lambda path: path.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    run_stage(main)
