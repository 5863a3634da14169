"""All that the page says, as plain data: what the templates write down, and what its scripts draw."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unlearning.comparison.earlier import Earlier
from unlearning.data.manifest import Manifest
from unlearning.figures.table import LEGEND, attack_columns, attack_numbers, main_columns, marks_of
from unlearning.over_seeds import Summary, flat, gold_of
from unlearning.page.curves import charts, logs, rounded
from unlearning.page.earlier import Again, again
from unlearning.page.gallery import Gallery, Shown
from unlearning.page.glossary import Term, glossary
from unlearning.page.harm import Worst, accuracies, worst
from unlearning.page.limits import Basis, behind, limits
from unlearning.page.parameters import Defaults, Difference, defaults, differences
from unlearning.page.provenance import Images, ModelFile, commit, images_of, model_files, now, software
from unlearning.page.sample_verdict import sample_verdicts
from unlearning.page.tables import (
    Kind,
    Table,
    attack_numbers_table,
    cost_numbers_table,
    floor_numbers_table,
    held_out_numbers_table,
    kind_of,
    main_numbers_table,
)
from unlearning.page.verdict import Level, Verdict, verdicts
from unlearning.page.wording import Wording, erased_names, wording
from unlearning.params import ANOTHER, CONTROLS, Params
from unlearning.params_file import PARAMS, load_values

Models = Mapping[str, Summary]
FIGURES = {
    "H-Mean against the gap to the retrained model": Path("plots/tradeoff.png"),
    "t-SNE of the features, for one erased class": Path("plots/tsne.png"),
}
UNTAUGHT = {"retrained": "the retrained model", "short_run": "a short run, which stands in for a retrained model"}
SHOWN_AT_FIRST = 6  # models in a chart: with so many or fewer all are drawn


@dataclass(frozen=True)
class Content:
    """What the templates write down."""

    words: Wording
    erased: list[str]
    count: int  # of what was erased: classes, or images
    data_set: str
    architecture: str
    headline: str
    methods: list[str]
    audited: list[str]  # rows of models made elsewhere
    verdicts: dict[str, Verdict]
    again: Again | None  # whether classes of earlier requests stay erased; None where there are none
    kinds: dict[str, Kind]
    controls: "Controls"
    limits: list[str]
    tables: list[Table]
    legend: list[str]
    held_out: Table
    cost: Table
    floor: bool  # whether there is a noise floor
    gold: str
    untaught: str  # what a model that never saw the classes is here; "" where there is none
    seeds: list[int]
    worst: list[Worst]
    terms: dict[str, Term]
    defaults: Defaults | None
    differences: list[Difference]
    origin: "Origin"
    notes: list[str]
    pictures: dict[str, str]  # {title: data URI} of figures
    nearest: Shown
    pictured: list[str]  # classes whose images are in the page
    data: dict[str, Any]  # for the scripts


@dataclass(frozen=True)
class Controls:
    """What came out of the models in which nothing was erased: a test of the rules."""

    found: dict[str, str]
    level: Level  # good: all of them as they must


@dataclass(frozen=True)
class Origin:
    """Where the numbers come from."""

    rows: list[tuple[str, str]]
    images: list[Images]
    behind: list[tuple[str, str]]
    files: list[ModelFile]
    commit: str
    date: str


def content(
    models: Models, manifest: Manifest, params: Params, figures: Gallery, earlier: Earlier | None = None
) -> Content:
    """Return what the page of a comparison says; models: in the order of the rows; earlier: of classes erased before.

    Reads params.yaml, plots/tsne.png, the logs of training and the models' files, as far as they are there, and git.
    """
    basis = Basis.of(manifest, params)
    by_samples = basis.by_samples
    found = sample_verdicts(models, basis.train_erased) if by_samples else verdicts(models, basis.test_erased)
    tables = [main_numbers_table(models), *filter(None, [floor_numbers_table(models)]), attack_numbers_table(models)]
    held_out, cost = held_out_numbers_table(models), cost_numbers_table(models)
    before = again(earlier) if earlier else None
    known, marks = defaults(), {mark for one in models.values() for mark in marks_of(one).values()}
    return Content(
        words=wording(manifest),
        erased=erased_names(manifest),
        count=basis.train_erased if by_samples else len(manifest.forget_classes),
        data_set=data_set(manifest),
        architecture=params.model.name,
        headline=params.headline,
        methods=list(params.methods),
        audited=list(params.audit),
        verdicts=found,
        again=before,
        kinds={name: kind_of(name) for name in models},
        controls=controls(found),
        limits=limits(models, basis),
        tables=tables,
        legend=[f"{mark} {text}" for mark, text in LEGEND.items() if mark in marks],
        held_out=held_out,
        cost=cost,
        floor=ANOTHER in models,
        gold=gold_of(models),
        untaught=next((text for name, text in UNTAUGHT.items() if name in models), ""),
        seeds=list(params.seeds),
        worst=worst(models),
        terms=glossary(
            heading.key for table in [*tables, held_out, cost, *_table_of(before)] for heading in table.headings
        ),
        defaults=known,
        differences=differences(known.values, load_values(), PARAMS.read_text(encoding="utf-8")) if known else [],
        origin=origin(models, manifest, params, basis),
        notes=[f"{name}, {note}" for name, one in models.items() for note in together(one.details["notes"])],
        pictures={title: as_picture(path) for title, path in FIGURES.items() if path.is_file()},
        nearest=figures.shown,
        pictured=[manifest.classes[label] for label in sorted({figures.labels[place] for place in figures.pictures})],
        data=data(models, manifest, params, figures, {name: one.level for name, one in found.items()}),
    )


def _table_of(before: Again | None) -> list[Table]:
    return [before.table] if before and before.table else []


def together(notes: Iterable[str]) -> list[str]:
    """Return the notes with each text once, behind the seeds that have it."""
    seeds: dict[str, list[str]] = {}
    for note in dict.fromkeys(notes):
        of_seed = _OF_SEED.match(note)
        text = note[of_seed.end() :] if of_seed else note
        seeds.setdefault(text, []).extend([of_seed[1]] if of_seed else [])
    return [f"seed {', '.join(own)}: {text}" if own else f"all seeds: {text}" for text, own in seeds.items()]


_OF_SEED = re.compile(r"seed (-?\d+): ")


def controls(found: Mapping[str, Verdict]) -> Controls:
    """Return what the controls were said to be: nothing was erased in them but what the last layer says."""
    own = {name: found[name] for name in CONTROLS if name in found and "features" in found[name].answers}
    wrong = [name for name, one in own.items() if one.answers["features"].level in ("good", "part")]
    untold = [name for name, one in own.items() if one.answers["features"].level == "unknown"]
    level: Level = "bad" if wrong else "unknown" if untold or not own else "good"
    return Controls({name: one.word for name, one in own.items()}, level)


def origin(models: Models, manifest: Manifest, params: Params, basis: Basis) -> Origin:
    """Return where the numbers come from."""
    rows = [
        (wording(manifest).erased.capitalize(), ", ".join(erased_names(manifest))),
        ("Data", data_set(manifest)),
        ("Content of the images (hash)", manifest.content),
        ("Split (hash)", manifest.hash),
        ("Model", ", ".join([params.model.name, *(f"{key} {value}" for key, value in params.model.kwargs.items())])),
        ("Repetitions (seeds)", ", ".join(map(str, params.seeds))),
        ("Precision", precision(params.precision, said_by_costs(models, "precision"))),
        ("Trained on", "; ".join(said_by_costs(models, "device")) or "not known"),
        ("Software", software()),
    ]
    return Origin(rows, images_of(manifest), behind(basis, params), model_files(models, params.seeds), commit(), now())


def said_by_costs(models: Models, key: str) -> list[str]:
    """Return what the costs of all models and seeds say of their training, each answer once."""
    costs = [seed["cost"] for one in models.values() for seed in one.details["seeds"].values()]
    return sorted({str(cost[key]) for cost in costs if cost.get(key)})


def precision(asked: str, used: list[str]) -> str:
    """Return the precision of params.yaml, with what it came to where the models were trained, if that is known."""
    return asked if used in ([], [asked]) else f"{asked}, which was {'; '.join(used)}"


def data_set(manifest: Manifest) -> str:
    """Return what the images are, in words."""
    return f"{manifest.source}: {len(manifest.classes)} classes, images of {manifest.image_size} px"


def data(
    models: Models, manifest: Manifest, params: Params, figures: Gallery, levels: Mapping[str, Level]
) -> dict[str, Any]:
    """Return what the scripts of the page draw."""
    return {
        "models": [name for name in models if name != ANOTHER],
        "kinds": {name: kind_of(name) for name in models},
        "levels": dict(levels),
        "shown": shown_at_first(models, params.headline),
        "headline": params.headline,
        "seeds": [str(seed) for seed in params.seeds],
        "charts": [asdict(chart) for chart in charts(models)],
        "logs": logs([*params.references, "ec_modules", *params.methods]),
        "classes": manifest.classes,
        "erased": manifest.absent_classes,
        "accuracy": accuracies(models),
        "numbers": numbers(models),
        "gallery": asdict(figures),
    }


def as_picture(path: Path) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def shown_at_first(models: Models, headline: str) -> list[str]:
    """Return the models that charts begin with: all of a few, else references, audited, the headline and a control."""
    names = [name for name in models if name != ANOTHER]
    if len(names) <= SHOWN_AT_FIRST:
        return names
    control = next((name for name in names if name in CONTROLS), None)
    return [name for name in names if kind_of(name) in ("reference", "audited") or name in (headline, control)]


def numbers(models: Models) -> dict[str, Any]:
    """Return every number of the tables for each seed, to set two models side by side."""
    columns = {**main_columns(models), **attack_columns(models)}
    rows = {name: [_numbers_of_seed(seed) for seed in one.details["seeds"].values()] for name, one in models.items()}
    return {
        "columns": [
            {"key": key, "label": column.heading, "decimals": column.decimals}
            for key, column in columns.items()
            if any(key in of_seed for of_seeds in rows.values() for of_seed in of_seeds)
        ],
        "values": {
            name: {
                key: [rounded(of_seed[key]) for of_seed in of_seeds]
                for key in columns
                if all(of_seed.get(key) is not None for of_seed in of_seeds)
            }
            for name, of_seeds in rows.items()
        },
    }


def _numbers_of_seed(seed: Mapping[str, Any]) -> dict[str, Any]:
    return {**attack_numbers(seed), **flat(seed["metrics"]), "js_divergence": seed.get("js_divergence")}
