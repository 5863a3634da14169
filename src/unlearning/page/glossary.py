"""What each column means: its name here, the rest from the docstring of the file that computes it."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FIELDS = ("Direction", "Range", "Data", "Source", "Expected")
_FIELD = re.compile(rf"\b({'|'.join(FIELDS)}): ")


@dataclass(frozen=True)
class Term:
    """What one file computes: one column, or several."""

    names: list[str]
    says: str  # a sentence
    fields: dict[str, str]  # of FIELDS; empty for a number that no metric's file computes


@dataclass(frozen=True)
class _Known:
    name: str
    file: str = ""  # module of the package
    says: str = ""  # where no file does


_ALONE, _BESIDE, _ATTACK = "metrics.alone.", "metrics.beside.", "evaluation."
_TERMS = {
    "forget_acc": _Known("Forget accuracy (FA), training images of the erased classes", f"{_ALONE}accuracy"),
    "retain_acc": _Known("Retain accuracy (RA), training images of the classes to keep", f"{_ALONE}accuracy"),
    "test_forget_acc": _Known("Test forget accuracy (TFA), unseen images of the erased classes", f"{_ALONE}accuracy"),
    "test_retain_acc": _Known("Test retain accuracy (TRA), unseen images of the classes to keep", f"{_ALONE}accuracy"),
    "cka": _Known("CKA to the original model, last feature", f"{_BESIDE}cka"),
    "cka_retrained": _Known("100 less the CKA to the retrained model", f"{_BESIDE}cka"),
    "idi": _Known("Information Difference Index (IDI)", f"{_BESIDE}idi"),
    "idi_abs": _Known("IDI with the layers' differences as absolute values", f"{_BESIDE}idi"),
    "knn": _Known("k-NN accuracy on another data set", f"{_BESIDE}knn"),
    "knn_gap": _Known("k-NN accuracy, distance to the retrained model", f"{_BESIDE}knn"),
    "h_mean": _Known("H-Mean", f"{_BESIDE}h_mean"),
    "retrain_gap": _Known("Gap to the retrained model", f"{_BESIDE}closeness"),
    "js_divergence": _Known("Jensen-Shannon divergence (JS) from the retrained model's answers", f"{_BESIDE}closeness"),
    "linear_probe": _Known("Linear probe, all training images", f"{_ALONE}linear_probe"),
    "small_probe": _Known("Linear probe, a small share of the training images", f"{_ALONE}linear_probe"),
    "head_recovery": _Known("Head recovery", f"{_BESIDE}head_recovery"),
    "prototype": _Known("Prototype attack", f"{_ALONE}prototype"),
    "relearn": _Known("Relearning attack", f"{_ATTACK}relearning"),
    "retain_only": _Known("Fine-tuning on retained images only", f"{_ATTACK}retain_only"),
    "batchnorm": _Known("BatchNorm recalibration", f"{_ATTACK}batchnorm"),
    "mia_auc": _Known("Membership inference (MIA), AUC", f"{_ALONE}membership"),
    "lira": _Known("LiRA, AUC", f"{_ALONE}lira"),
    "rmia": _Known("RMIA, AUC", f"{_BESIDE}rmia"),
    "weight_distance": _Known("Distance of the weights to the original's", f"{_ALONE}weight_distance"),
    "loss_barrier": _Known("Loss barrier to the original", f"{_ATTACK}loss_barrier"),
    "effective_rank": _Known("Effective rank of the erased classes' features", f"{_ALONE}collapse"),
    "calibration_error": _Known("Expected calibration error (ECE)", f"{_ALONE}calibration"),
    "seconds": _Known("Seconds", says="Time of training or unlearning alone, on the machine that is named below."),
    "seconds_over_retraining": _Known("Of retraining's time", says="Over the seconds of training without the classes."),
    "steps": _Known("Optimiser steps", says="How often the weights were changed."),
    "samples": _Known("Images with gradient", says="Images that changed the weights; repeated ones count again."),
    "peak_memory_gb": _Known("Peak memory, GB", says="The most memory that the training process held at once."),
    "validation_forget_acc": _Known(
        "Held-out forget accuracy", says="Percent, on images of the erased classes held out to choose settings."
    ),
    "validation_retain_acc": _Known(
        "Held-out retain accuracy", says="Percent, on images of the classes to keep held out to choose settings."
    ),
}  # fmt: skip


def name_of(column: str) -> str:
    """Return what a column is called in words."""
    return _known(column).name


def term_of(column: str) -> str:
    """Return which term explains a column: all columns of a file share one."""
    return _known(column).file.rpartition(".")[2] or column


def glossary(columns: Iterable[str]) -> dict[str, Term]:
    """Return the terms that explain these columns, each once, in their order."""
    names: dict[str, list[str]] = {}
    files = {}
    for column in columns:
        term = term_of(column)
        files[term] = _known(column)
        if name_of(column) not in names.setdefault(term, []):
            names[term].append(name_of(column))
    return {term: _term(names[term], known) for term, known in files.items()}


def _known(column: str) -> _Known:
    """The term of `relearn` explains `relearn.5`."""
    return _TERMS.get(column) or _TERMS[column.partition(".")[0]]


def _term(names: list[str], known: _Known) -> Term:
    if not known.file:
        return Term(names, known.says, {})
    return Term(names, *parts_of(_docstring(known.file)))


def parts_of(docstring: str) -> tuple[str, dict[str, str]]:
    """Return the first sentence of a metric's docstring, and its fields: {"Direction": "lower is deeper.", ...}."""
    summary, *others = docstring.split("\n\n")
    text = next((" ".join(one.split()) for one in others if _FIELD.search(one)), "")
    _, *pairs = _FIELD.split(text)
    return " ".join(summary.split()), {name: _plain(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}


@cache
def _docstring(module: str) -> str:
    """Read it without running the file: some of them load a library of models."""
    spec = find_spec(f"unlearning.{module}")
    assert spec is not None
    assert spec.origin is not None
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""


def _plain(text: str) -> str:
    return text.replace("`", "").strip()
