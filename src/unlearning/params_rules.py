"""What the blocks of params.yaml ask of each other: a rule each, which names in its arguments the blocks it looks at.

So a rule is asked as soon as its own blocks are right, whatever is wrong elsewhere: all faults of a file come at once.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unlearning.errors import did_you_mean
from unlearning.params import Audited, Evaluate, Figures, Forget, Known, LiRA, Reference, Start

References = dict[str, Known]
Methods = dict[str, Start]
Audit = dict[str, Audited]
Fault = tuple[str, str]  # key, and what is wrong with it


def faults_between(blocks: Mapping[str, Any]) -> Iterator[str]:
    """Yield "key: what is wrong" of each rule whose blocks are all there."""
    for rule in RULES:
        needs = list(inspect.signature(rule).parameters)
        if all(need in blocks for need in needs):
            yield from (f"{key}: {problem}" for key, problem in rule(*(blocks[need] for need in needs)))


def a_checkpoint_for_each_seed(
    seeds: list[int], original: Reference, retrained: Reference, audit: Audit
) -> Iterator[Fault]:
    for key, one in _given(original, retrained, audit).items():
        if isinstance(one.checkpoint, list) and len(one.checkpoint) != len(seeds):
            counts = f"{len(one.checkpoint)} files for {len(seeds)} seeds"
            yield f"{key}.checkpoint", f"{counts}; give one for each, or one for all"


def given_files_are_not_those_that_a_run_writes_anew(
    original: Reference, retrained: Reference, audit: Audit, references: References, methods: Methods
) -> Iterator[Fault]:
    written = {Path("models", name).absolute() for name in ("ec_modules", *references, *methods)}
    for key, one in _given(original, retrained, audit).items():
        own = next((file for file in one.files if file.absolute().parent in written), None)
        if own is not None:
            yield f"{key}.checkpoint", f"{own} is removed and written anew by this run; give a copy of it"


def what_was_erased_before_was_erased_from_a_given_model(forget: Forget, original: Reference) -> Iterator[Fault]:
    if forget.before and original.checkpoint is None:
        yield (
            "forget.before",
            "an original trained here would never have known these classes; give the model that they were erased from "
            "as original.checkpoint",
        )


def shadow_models_answer_on_the_images_that_judge(lira: LiRA, evaluate: Evaluate) -> Iterator[Fault]:
    if lira.shadows and evaluate.split != "test":
        yield (
            "evaluate.split",
            f"the shadow models of lira.shadows answer on the test images, not on {evaluate.split}; set lira.shadows "
            "to [] for the time being, or evaluate.split to test",
        )


def named_models_are_rows(
    headline: str, figures: Figures, references: References, methods: Methods, audit: Audit
) -> Iterator[Fault]:
    rows = [*references, *methods, *audit]
    for key, name in [("headline", headline), *(("figures.models", name) for name in figures.models)]:
        if name not in rows:
            near = did_you_mean(name, rows) or f"; there are {', '.join(rows)}"
            yield key, f"{name!r} is none of the models{near}"


def _given(original: Reference, retrained: Reference, audit: Audit) -> dict[str, Reference]:
    return {"original": original, "retrained": retrained, **{f"audit.{name}": one for name, one in audit.items()}}


RULES: tuple[Callable[..., Iterator[Fault]], ...] = (
    a_checkpoint_for_each_seed,
    given_files_are_not_those_that_a_run_writes_anew,
    what_was_erased_before_was_erased_from_a_given_model,
    shadow_models_answer_on_the_images_that_judge,
    named_models_are_rows,
)
