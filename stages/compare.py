"""compare: everything that needs two models or more, as numbers; `report` makes tables and figures of them."""

from pathlib import Path

from unlearning.comparison.earlier import Earlier, earlier_of
from unlearning.comparison.measured import of_earlier_requests, of_this_request, read_shadow
from unlearning.comparison.origins import chain_of
from unlearning.comparison.results import COMPARED, Results, write_results
from unlearning.comparison.rows import compare_rows
from unlearning.data.manifest import FORGET, MANIFEST, Manifest, has_images_to_forget, load_earlier, load_manifest
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER, Params
from unlearning.params_file import load_params
from unlearning.run_record import Recorder
from unlearning.stage import run_stage


def main() -> None:
    params, record = load_params(), Recorder("compare")
    manifest = load_manifest().judged_on(params.evaluate.split)
    rows, earlier = compare(params, manifest), compare_earlier(params, manifest)
    chain = chain_of([name for name in rows if name != ANOTHER], params.seeds, manifest)
    write_results(Results(rows, earlier, chain))
    read = [Path("metrics") / kind for kind in ("raw", "features", "transfer", "shadows", "cost")]
    record.write(params.model_dump(mode="json"), params.seeds, manifest.hash, [MANIFEST, FORGET, *read], [COMPARED])


def compare(params: Params, manifest: Manifest) -> dict[str, Summary]:
    """Set the models beside each other by what this request forgets."""
    shadows = [read_shadow(number, manifest) for number in params.lira.shadows]
    sets = [entry.name for entry in params.downstream]
    return compare_rows(params, manifest, of_this_request(sets, manifest), shadows)


def compare_earlier(params: Params, now: Manifest) -> Earlier | None:
    """Do the same by the classes that were erased before; None where there are none. now: by the present request."""
    manifest = load_earlier()
    if manifest is None:
        return None
    manifest = manifest.judged_on(params.evaluate.split)
    there = has_images_to_forget(manifest)
    return earlier_of(manifest, compare_rows(params, manifest, of_earlier_requests(now), []) if there else {})


if __name__ == "__main__":
    run_stage(main)
