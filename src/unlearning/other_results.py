"""Results of another split than the present one: how they are known, and that they go.

They are never shown beside or instead of one's own: `dvc repro unlearn@ec` alone, for other classes, would leave the
numbers and figures of the last whole run standing. What dvc.lock has recorded tells whose they are.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unlearning.errors import InputError
from unlearning.yaml_text import as_dvc_reads

FORGET = "data/forget.json"
SPLIT_INPUTS = "data/inputs/split.json"
CHOICE = ("data", "forget")  # the parameters of the stage `split`
# Keys of `data` that make no other split. A folder that is read is in SPLIT_INPUTS, with its path. Images streamed
# instead of held are the same images; the hash of their split is another one, which FORGET holds once `split` has run.
HOW_IT_IS_READ = ("root", "max_pixels", "resident_gb", "workers")


def remove_results_of_another_split() -> list[Path]:
    """Remove what `compare` and `report` have written, if it is of another split than params.yaml and its files give.

    Returns what was removed. data/inputs must have been written.
    """
    pipeline, lock, params = (text_of(Path(name)) for name in ("dvc.yaml", "dvc.lock", "params.yaml"))
    there = {
        stage: [path for path in outputs(section(pipeline, stage)) if path.exists()] for stage in ("compare", "report")
    }
    if not any(there.values()):
        return []
    chosen, split = as_dvc_reads(params), section(lock, "split")
    inputs = hashlib.md5(Path(SPLIT_INPUTS).read_bytes(), usedforsecurity=False).hexdigest()
    others = [stage for stage in there if not of_this_split(split, section(lock, stage), chosen, inputs)]
    removed = [path for stage in others for path in there[stage]]
    for path in removed:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return removed


def of_this_split(split: dict[str, Any], stage: dict[str, Any], chosen: dict[str, Any], inputs: str) -> bool:
    """Tell from what dvc.lock says of `split` and of a stage whether its results are of the split of these parameters.

    chosen: params.yaml, as DVC reads it. inputs: MD5 of data/inputs/split.json as it is now.
    """
    same_choice = all(name in _recorded(split) and name not in other_choices(split, chosen) for name in CHOICE)
    same_files = _md5(split, "deps", SPLIT_INPUTS) == inputs
    compared, forget = _md5(stage, "deps", FORGET), _md5(split, "outs", FORGET)
    return same_choice and same_files and forget is not None and compared == forget


def refuse_another_split() -> None:
    """Raise InputError when data/split was made with other values than params.yaml has now, where dvc.lock knows them.

    For commands that DVC does not start: they would compute with the samples and classes of the last run.
    """
    lock, params = text_of(Path("dvc.lock")), text_of(Path("params.yaml"))
    other = other_choices(section(lock, "split"), as_dvc_reads(params))
    if other:
        raise InputError(
            f"params.yaml: {' and '.join(other)}: data/split was made with other values; run `dvc repro split`, then "
            "what makes the models to start from (`dvc repro train@original`, for EC `dvc repro pretrain_ec`)"
        )


def other_choices(split: dict[str, Any], chosen: dict[str, Any]) -> list[str]:
    """Return which blocks of params.yaml say another split than dvc.lock has recorded of it."""
    recorded = _recorded(split)
    return [name for name in CHOICE if name in recorded and _chosen(recorded[name]) != _chosen(chosen.get(name))]


def _recorded(split: dict[str, Any]) -> dict[str, Any]:
    recorded: dict[str, Any] = split.get("params", {}).get("params.yaml", {})
    return recorded


def _chosen(block: Any) -> Any:
    """Return what a block of params.yaml says of the split, without how its images are read."""
    return {key: block[key] for key in block if key not in HOW_IT_IS_READ} if isinstance(block, dict) else block


def section(text: str, stage: str) -> dict[str, Any]:
    """Return what dvc.yaml or dvc.lock says of one stage, or nothing; the rest, which is long, is not parsed."""
    found = re.search(rf"^  {stage}:\n((?:(?:   .*)?\n)*)", f"{text}\n", re.MULTILINE)
    return (as_dvc_reads(found[1]) if found else None) or {}


def outputs(stage: dict[str, Any]) -> Iterator[Path]:
    """Yield the path of each output of a stage of dvc.yaml."""
    for kind in ("outs", "plots", "metrics"):
        for out in stage.get(kind, []):
            yield Path(next(iter(out)) if isinstance(out, dict) else out)


def _md5(stage: dict[str, Any], kind: str, path: str) -> str | None:
    return next((entry.get("md5") for entry in stage.get(kind, []) if entry["path"] == path), None)


def text_of(path: Path) -> str:
    """Return what a file of DVC says, or nothing where there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""
