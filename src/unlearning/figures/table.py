"""Markdown tables of all models: an arrow for the better direction, mean ± standard deviation over the seeds."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from unlearning.over_seeds import Summary, able_methods, best_of, flat, gold_of, utility_of
from unlearning.params import ANOTHER, CONTROLS, REFERENCES, is_audited

Better = Literal["low", "high", "zero", "retrained"]
UNSURE, COLLAPSED = "†", "‡"


class Column(NamedTuple):
    heading: str
    decimals: int
    better: Better | None = None  # which value is the best; None = read beside the retrained model's


Columns = dict[str, Column]
Label = Callable[[str], str]  # of a row
Row = tuple[dict[str, Any], dict[str, Any]]  # means, and the deviations where there are some
COLUMNS: Columns = {  # keys of metrics/models/<model>.json, and js_divergence of the details
    "forget_acc": Column("FA ↓", 1, "low"),
    "retain_acc": Column("RA ↑", 1, "high"),
    "test_forget_acc": Column("TFA ↓", 1, "low"),
    "test_retain_acc": Column("TRA ↑", 1, "high"),
    "cka": Column("CKA ↓", 1, "low"),
    "idi": Column("IDI → 0", 2, "zero"),
    "idi_abs": Column("IDI abs ↓", 2, "low"),
    "h_mean": Column("H-Mean ↑", 1, "high"),
    "retrain_gap": Column("gap to retrained ↓", 1, "low"),
    "js_divergence": Column("JS ↓", 2, "low"),
    "seconds": Column("seconds ↓", 1, "low"),
}
SAMPLE_COLUMNS: Columns = {  # of the main table where samples are forgotten: nothing that presupposes a missing class
    "forget_acc": Column("FA → retrained's", 1, "retrained"),
    "retain_acc": Column("RA ↑", 1, "high"),
    "test_retain_acc": Column("TRA ↑", 1, "high"),
    "mia_auc": Column("MIA, AUC → retrained's", 1, "retrained"),
    **{key: COLUMNS[key] for key in ("retrain_gap", "js_divergence", "seconds")},
}
ATTACK_COLUMNS: Columns = {  # all but the last four: forget accuracy that comes back, or an AUC; beside retrained's
    "linear_probe": Column("linear probe", 1),
    "small_probe": Column("probe, few images", 1),
    "head_recovery": Column("head recovery", 1),
    "retain_only": Column("retain images only", 1),
    "batchnorm": Column("BatchNorm", 1),
    "mia_auc": Column("MIA, AUC", 1),
    "lira": Column("LiRA, AUC", 1),
    "rmia": Column("RMIA, AUC", 1),
    "weight_distance": Column("distance of the weights", 2),
    "loss_barrier": Column("loss barrier, nats", 2),
    "effective_rank": Column("effective rank", 1),
    "calibration_error": Column("ECE ↓", 1),
}
DIAGNOSTICS = ("weight_distance", "loss_barrier", "effective_rank", "calibration_error")  # of these, the last
ATTACK_CURVES = {"prototype": "prototype", "relearn": "relearned"}  # with a column for each number of images
COST_COLUMNS: Columns = {  # keys of `cost` in the details
    "seconds": Column("seconds", 1),
    "seconds_over_retraining": Column("of retraining's time", 2),
    "steps": Column("optimiser steps", 0),
    "samples": Column("images with gradient", 0),
    "peak_memory_gb": Column("peak memory, GB", 2),
}
HELD_OUT_COLUMNS: Columns = {  # keys of `validation` in the details
    "validation_forget_acc": Column("forget accuracy", 1),
    "validation_retain_acc": Column("retain accuracy", 1),
}
NONE_HELD_OUT = "None.\n"
LEGEND = {
    UNSURE: "IDI is unsure in one of the seeds: its critics part, or vary over the trials (see the notes).",
    COLLAPSED: "The forget set's features have nearly collapsed: a low CKA says no more than that.",
}
ONE_SEED = "One seed: each number is a single draw; give `seeds:` several to see which differences are more than luck."
BOLD = (
    "Bold: the best of the methods that forget (FA at most 1 %) and keep utility ({utility} within 5 points of "
    "{gold}'s), and each of them that a paired t-test over the seeds (5 %) cannot tell from it; controls are left out."
)
OF_SAMPLES = (
    "Images were to be forgotten and their classes are kept: TFA, CKA, IDI, H-Mean, the probes and the attacks that "
    "bring classes back do not apply and are left out; FA is best where the retrained model's is."
)
BOLD_OF_SAMPLES = (
    "Bold: the best, or the nearest to retrained's, of the methods that keep utility ({utility} within 5 points of "
    "{gold}'s), and each of them that a paired t-test over the seeds (5 %) cannot tell from it."
)


def label_of(name: str) -> str:
    """Return what a row of a run is called: references in italics, controls and audited models named as such."""
    if name in CONTROLS:
        return f"{name} (control)"
    if is_audited(name):
        return f"{name} (audited)"
    return f"*{name}*" if name in (*REFERENCES, ANOTHER) else name


def main_table(models: Mapping[str, Summary], label: Label = label_of) -> str:
    """Return the table of metrics/models with the divergence, marks, and what marks and bold type mean."""
    columns = main_columns(models)
    several = over_several_seeds(models)
    bold = best_rows(models, columns) if several else {}
    rows = {name: _main_row(one, columns, {key for key in bold if name in bold[key]}) for name, one in models.items()}
    table = markdown_table(rows, columns, label)
    legend = [f"{mark} {text}" for mark, text in LEGEND.items() if mark in table]
    utility = COLUMNS[utility_of(models)].heading.split()[0]
    bold_text = BOLD_OF_SAMPLES if by_samples(models) else BOLD
    last = bold_text.format(gold=gold_of(models), utility=utility) if several else ONE_SEED
    of_samples = [OF_SAMPLES] * by_samples(models)
    return table + "".join(f"\n{line}\n" for line in [*legend, *of_samples, last])


SHORT = ("forget_acc", "test_retain_acc", "cka", "idi", "h_mean", "retrain_gap")  # of the main table
LEFT_OUT = "\nLeft out, as they do not forget (FA above 1 %) or lose more than 5 points of utility: {names}.\n"


def short_table(models: Mapping[str, Summary]) -> str:
    """Return what a first look needs of the references, the controls, and the methods that forget and keep utility."""
    shown_anyway, able = (*REFERENCES, ANOTHER, *CONTROLS), able_methods(models)
    left_out = [name for name in models if name not in (*shown_anyway, *able)]
    attacks = attack_columns(models)
    relearned = [key for key in attacks if key.startswith("relearn.")]  # the most images last
    beside = {key: attacks[key] for key in ("head_recovery", *relearned[-1:])}
    cost = {"seconds_over_retraining": COST_COLUMNS["seconds_over_retraining"]}
    columns = {key: COLUMNS[key] for key in SHORT} | beside | cost
    rows = {}
    for name, one in models.items():
        if name in left_out:
            continue
        (means, stds), took = main_numbers(one), one.mean["cost"] if name != ANOTHER else {}
        rows[name] = (means | attack_numbers(one.mean) | took, stds | attack_numbers(one.std))
    return table_of_numbers(rows, columns) + LEFT_OUT.format(names=", ".join(left_out)) * bool(left_out)


def attack_table(models: Mapping[str, Summary], label: Label = label_of) -> str:
    """Return the table of what brings the classes back, and of the diagnostics beside it."""
    rows = {name: (attack_numbers(one.mean), attack_numbers(one.std)) for name, one in models.items()}
    return table_of_numbers(rows, attack_columns(models), label)


def attack_columns(models: Mapping[str, Summary]) -> Columns:
    """Return the columns of the attack table, with one for each number of images of an attack."""
    first = next(iter(models.values())).mean
    curves = {
        f"{key}.{k}": Column(f"{heading}, {k} image{'s' * (k != '1')}", 1)
        for key, heading in ATTACK_CURVES.items()
        for k in first[key]["forget"]
    }
    head, tail = dict(list(ATTACK_COLUMNS.items())[:3]), dict(list(ATTACK_COLUMNS.items())[3:])
    return head | curves | tail


def held_out_table(models: Mapping[str, Summary]) -> str:
    """Return the table of the accuracies on the images held out to choose settings; a sentence where there are none."""
    rows: dict[str, Row] = {
        name: (one.mean["validation"], one.std.get("validation", {})) for name, one in models.items()
    }
    return table_of_numbers(rows, HELD_OUT_COLUMNS) if any(means for means, _ in rows.values()) else NONE_HELD_OUT


def cost_table(models: Mapping[str, Summary], label: Label = label_of) -> str:
    """Return the table of what training or unlearning took, means over the seeds."""
    rows: dict[str, Row] = {name: (one.mean["cost"], {}) for name, one in models.items() if name != ANOTHER}
    return table_of_numbers(rows, COST_COLUMNS, label)


def worst_table(models: Mapping[str, Summary]) -> str:
    """Return the table of the retain classes that lost most test accuracy under each method, in points."""
    rows: dict[str, dict[str, str | None]] = {
        name: {"worst": ", ".join(f"{label} {lost:.0f}" for label, lost in one.details["worst_retain_classes"].items())}
        for name, one in models.items()
        if name not in ("original", ANOTHER)
    }
    return markdown_table(rows, {"worst": Column("points of test accuracy lost to the original, worst first", 0)})


def markdown_table(rows: Mapping[str, Mapping[str, str | None]], columns: Columns, label: Label = label_of) -> str:
    """Return a Markdown table, a row a model in the given order; columns that no model has are left out."""
    columns = {key: value for key, value in columns.items() if any(row.get(key) is not None for row in rows.values())}
    lines = [_line(["model", *(column.heading for column in columns.values())])]
    lines.append(_line([":---", *("---:" for _ in columns)]))
    lines += [_line([label(name), *(row.get(key) or "–" for key in columns)]) for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def table_of_numbers(rows: Mapping[str, Row], columns: Columns, label: Label = label_of) -> str:
    """Return a Markdown table of means and deviations."""
    return markdown_table(
        {
            name: {key: cell_text(means.get(key), stds.get(key), column) for key, column in columns.items()}
            for name, (means, stds) in rows.items()
        },
        columns,
        label,
    )


def by_samples(models: Mapping[str, Summary]) -> bool:
    """Return whether samples were to be forgotten, and not classes."""
    return any(one.by_samples for one in models.values())


def over_several_seeds(models: Mapping[str, Summary]) -> bool:
    """Return whether every model has more than one seed."""
    return all(len(one.details["seeds"]) > 1 for one in models.values())


def main_numbers(one: Summary) -> Row:
    """Return the numbers of the main table, means and deviations."""
    means, stds = flat(one.metrics), flat(one.spread)
    return (
        means | {"js_divergence": one.mean.get("js_divergence")},
        stds | {"js_divergence": one.std.get("js_divergence")},
    )


def marks_of(one: Summary) -> dict[str, str]:
    """Return {column: mark}: what of the main table says less than it seems, `LEGEND` says why."""
    marks = {
        "cka": COLLAPSED * bool(one.mean["collapsed"]),
        "idi": UNSURE * bool(one.mean.get("idi", {}).get("unsure")),
    }
    return {key: mark for key, mark in marks.items() if mark}


def _main_row(one: Summary, columns: Columns, bold: set[str]) -> dict[str, str | None]:
    means, stds = main_numbers(one)
    row = {key: cell_text(means.get(key), stds.get(key), column) for key, column in columns.items()}
    for key, gap in one.metrics.get("knn_gap", {}).items():
        row[f"knn.{key}"] = f"{row[f'knn.{key}']} ({gap:.1f})"
    row = {key: f"**{text}**" if key in bold and text else text for key, text in row.items()}
    return row | {key: f"{row[key]}{mark}" for key, mark in marks_of(one).items() if row[key]}


def best_rows(models: Mapping[str, Summary], columns: Columns) -> dict[str, list[str]]:
    """Return {column: the rows in bold}; several seeds."""
    candidates = able_methods(models)
    best = {}
    for key, column in columns.items():
        values = {name: _values_of(models[name], key) for name in candidates}
        known = {name: of_seeds for name, of_seeds in values.items() if of_seeds}
        if column.better == "retrained":
            known = _distances_to(models.get("retrained"), key, known)
        if column.better is not None and known:
            best[key] = best_of(
                {name: [TOWARDS[column.better](value) for value in of_seeds] for name, of_seeds in known.items()}
            )
    return best


TOWARDS: dict[Better, Callable[[float], float]] = {
    "low": float,
    "high": lambda value: -value,
    "zero": abs,
    "retrained": float,  # of the distance to it
}


def _distances_to(gold: Summary | None, key: str, known: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return how far each row's values are from the retrained model's of the same seed; nothing where there is none."""
    best = _values_of(gold, key) if gold else []
    if not best:
        return {}
    return {name: [abs(a - b) for a, b in zip(of_seeds, best, strict=True)] for name, of_seeds in known.items()}


def _values_of(one: Summary, key: str) -> list[float]:
    """Return a column's value for each seed; nothing where the model has none."""
    rows = [{**seed, **seed["metrics"]} for seed in one.details["seeds"].values()]
    return [row[key] for row in rows if key in row] if all(key in row for row in rows) else []


def main_columns(models: Mapping[str, Summary]) -> Columns:
    """Return the columns of the main table, with one for each downstream set before the summaries."""
    sets = list(dict.fromkeys(name for one in models.values() for name in one.metrics.get("knn", {})))
    knn = {f"knn.{name}": Column(f"k-NN {name} (gap ↓)", 1) for name in sets}
    if by_samples(models):
        return SAMPLE_COLUMNS | knn
    before = list(COLUMNS).index("h_mean")
    items = list(COLUMNS.items())
    return dict(items[:before]) | knn | dict(items[before:])


def attack_numbers(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of the attack table, of the means or the deviations of the details; none of nothing."""
    if not details:
        return {}
    probe = details["linear_probe"]
    row = {
        "linear_probe": probe["all"]["forget"],
        "small_probe": probe["small"]["forget"],
        "head_recovery": details["head_recovery"]["forget"],
        "retain_only": details["retain_only"]["forget"],
        "batchnorm": details["batchnorm"]["forget"],
        **details["predictors"],
        "effective_rank": (details["collapse"]["forget"] or {}).get("effective_rank"),
        "calibration_error": details["calibration_error"],
    }
    for key in ATTACK_CURVES:
        row |= {f"{key}.{k}": value for k, value in details[key]["forget"].items()}
    attacks = {"mia_auc": (details["membership"] or {}).get("all")}
    attacks |= {key: details.get(key) for key in ("lira", "rmia")}
    return row | {key: auc["auc"] for key, auc in attacks.items() if auc}


def cell_text(mean: float | None, std: float | None, column: Column) -> str | None:
    """Return a number with its deviation, as the tables show it; None where there is none."""
    if mean is None:
        return None
    text = f"{mean:.{column.decimals}f}"
    return text if std is None else f"{text} ± {std:.{column.decimals}f}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
