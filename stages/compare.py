"""compare: everything that needs two models or more, then the report and the figures."""

import shutil
from collections.abc import Callable
from pathlib import Path

from unlearning.comparison.earlier import Earlier, earlier_of
from unlearning.comparison.evidence import Evidence, Shadow
from unlearning.comparison.model import compare_model
from unlearning.comparison.origins import links
from unlearning.comparison.reading import read_earlier, read_evidence, read_shadow
from unlearning.comparison.yardstick import alike, yardstick
from unlearning.data.manifest import (
    FORGET,
    MANIFEST,
    Manifest,
    has_images_to_forget,
    load_earlier,
    load_manifest,
)
from unlearning.errors import run_stage
from unlearning.evaluation.shared import Shared
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
from unlearning.over_seeds import Summary, summarise, worst_hurt
from unlearning.page.content import content
from unlearning.page.gallery import gallery
from unlearning.page.render import render
from unlearning.params import ANOTHER, Params, rows_of
from unlearning.params_file import load_params
from unlearning.run_record import Recorder
from unlearning.splitting.classes import class_id

Read = Callable[[str, int], Evidence]  # of a model and a seed
NO_PICTURE = "There is no test image of a class to forget."
NO_QUERY = "figures.queries: 0: no picture is asked for."


def main() -> None:
    params, record = load_params(), Recorder("compare")
    manifest = load_manifest().judged_on(params.evaluate.split)
    summaries, earlier = compare(params, manifest), compare_earlier(params, manifest)
    write_numbers(summaries, earlier, params, manifest)
    draw_curves(summaries)
    write_atomically(Path("plots/tradeoff.png"), lambda path: draw_tradeoff(summaries, path))
    shown = read_shown(params, manifest)
    draw_pictures(shown, params, manifest)
    write_page(summaries, earlier, shown, params, manifest)
    read = [Path("metrics") / kind for kind in ("raw", "features", "transfer", "shadows", "cost")]
    written = [Path("metrics/models"), Path("metrics/details"), Path("metrics/spread"), Path("metrics/report.md")]
    record.write(params.model_dump(mode="json"), params.seeds, manifest.hash, [MANIFEST, FORGET, *read], written)
    print(Path("metrics/report.md").read_text(encoding="utf-8"))


def compare(params: Params, manifest: Manifest) -> dict[str, Summary]:
    """Set the models beside each other by what this request forgets."""
    sets = [entry.name for entry in params.downstream]
    shadows = [read_shadow(number, manifest) for number in params.lira.shadows]
    return beside_references(params, manifest, lambda name, seed: read_evidence(name, seed, sets, manifest), shadows)


def compare_earlier(params: Params, now: Manifest) -> Earlier | None:
    """Do the same by the classes that were erased before; None where there are none. now: by the present request."""
    manifest = load_earlier()
    if manifest is None:
        return None
    manifest = manifest.judged_on(params.evaluate.split)
    if not has_images_to_forget(manifest):
        return earlier_of(manifest, {})
    found = beside_references(params, manifest, lambda name, seed: read_earlier(name, seed, now), [])
    return earlier_of(manifest, found)


def beside_references(params: Params, manifest: Manifest, read: Read, shadows: list[Shadow]) -> dict[str, Summary]:
    """Set each model beside the references of its seed, a model at a time: features of all would not fit."""
    references: dict[int, dict[str, Evidence]] = {
        seed: {name: read(name, seed) for name in params.references} for seed in params.seeds
    }
    beside = alike(
        {
            seed: yardstick(references[seed], manifest, params.idi, params.cka, params.rmia, shadows)
            for seed in params.seeds
        }
    )
    following = dict(zip(params.seeds, params.seeds[1:] + params.seeds[:1], strict=True))

    def evidence(name: str, seed: int) -> Evidence:
        source, of_seed = ("retrained", following[seed]) if name == ANOTHER else (name, seed)
        return references[of_seed].get(source) or read(source, of_seed)

    undefined = beside[params.seeds[0]].undefined
    summaries = {
        name: summarise({seed: compare_model(evidence(name, seed), beside[seed]) for seed in params.seeds}, undefined)
        for name in rows_of(params)
    }
    for one in summaries.values():
        one.details["worst_retain_classes"] = worst_hurt(one, summaries["original"], manifest)
    return summaries


def write_numbers(summaries: dict[str, Summary], earlier: Earlier | None, params: Params, manifest: Manifest) -> None:
    again = earlier.models if earlier else {}
    for name, one in summaries.items():
        before = {"earlier": {"metrics": again[name].metrics, **again[name].details}} if name in again else {}
        write_json(Path(f"metrics/models/{name}.json"), one.metrics)
        write_json(Path(f"metrics/spread/{name}.json"), one.spread)
        write_json(Path(f"metrics/details/{name}.json"), one.details | before)
    shutil.copyfile(f"metrics/models/{params.headline}.json", "metrics/headline.json")
    text = report(summaries, earlier, params.evaluate.split)
    text += chain_section(links([name for name in summaries if name != ANOTHER], params.seeds, manifest))
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


def read_shown(params: Params, manifest: Manifest) -> dict[str, Shared]:
    """Return the features that pictures are of: the references' and the chosen models', of the first seed."""
    names = dict.fromkeys([*params.references, *params.figures.models])
    return {name: read_evidence(name, params.seeds[0], [], manifest).shared for name in names}


def draw_pictures(of_models: dict[str, Shared], params: Params, manifest: Manifest) -> None:
    cfg = params.figures
    shown = {name: shared.test for name, shared in of_models.items()}
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
    of_models: dict[str, Shared],
    params: Params,
    manifest: Manifest,
) -> None:
    features = {name: shared.test for name, shared in of_models.items()}
    sample = of_models["original"]
    pictures = gallery(features, sample.test_labels, sample.test_positions, params.figures, manifest)
    text = render(content(summaries, manifest, params, pictures, earlier))
    write_atomically(Path("metrics/report.html"), lambda path: path.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    run_stage(main)
