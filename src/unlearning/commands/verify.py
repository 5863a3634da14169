"""Read every output again and compare it with dvc.lock; measure a model again and compare it with its record.

One line says whether all is as it was written; what is not stands above it. DVC itself looks at time and size, and so
misses what was changed in place. With a model, its first seed (or --seed) is evaluated again, which takes as long as
the stage `evaluate` does for one seed; on the machine that measured it the numbers are the same.

examples:
  unlearning verify          the hashes of all outputs and of DVC's cache
  unlearning verify ec       and the numbers of one model
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="a row of the table, such as ec, original or retrained")
    parser.add_argument("--seed", type=int, help="which repetition (default: the first of `seeds:`)")


def run(options: argparse.Namespace) -> None:
    from unlearning.errors import InputError
    from unlearning.verify import cache_folder, outputs_of, problems

    outputs = outputs_of()
    wrong = problems(outputs, cache_folder())
    print(*wrong, sep="\n", end="\n" * bool(wrong))
    hashes = f"{len(wrong)} files are not as written" if wrong else f"{len(outputs)} outputs are as dvc.lock has them"
    try:
        good, numbers = (True, None) if options.model is None else measured_again(options.model, options.seed)
    except InputError as error:
        good, numbers = False, str(error)
    good = good and not wrong
    print(f"verify: {'' if good else 'FAILED: '}{'; '.join(part for part in (hashes, numbers) if part)}")
    if not good:
        raise SystemExit(1)


def measured_again(name: str, seed: int | None) -> tuple[bool, str]:
    """Return whether a model measures as its record says, and the sentence that says so."""
    from unlearning.comparison.measured import read_evidence
    from unlearning.data.manifest import load_manifest
    from unlearning.engine.launch import launch
    from unlearning.evaluation.measuring import PARTS, Subject, measure
    from unlearning.evaluation.stopwatch import Stopwatch
    from unlearning.models.checkpoint import load_model
    from unlearning.params_file import load_params
    from unlearning.read_back import sealed
    from unlearning.verify import differences, verdict

    params = load_params()
    seed = params.seeds[0] if seed is None else seed
    manifest = load_manifest().judged_on(params.evaluate.split)
    recorded = {key: value for key, value in read_evidence(name, seed, [], manifest).raw.items() if key != "earlier"}
    model, original = (load_model(one, seed, manifest).model for one in (name, "original"))
    where = launch(params.precision)
    watch = Stopwatch(where, PARTS)
    with watch.round(f"{name}, seed {seed}"):
        measured = measure(Subject(name, seed, model, original), manifest, params, where, watch)
    assert measured is not None, "one process of several measures; verify is one"
    again, _ = measured
    found = sealed(again)  # as it would come back from a file
    return verdict(name, seed, differences(recorded, {key: found[key] for key in found if key != "seal"}))
