"""compare: everything that needs two models or more, as numbers; `report` makes tables and figures of them."""

from unlearning.comparison.earlier import Earlier, earlier_of
from unlearning.comparison.measured import of_earlier_requests, of_this_request, read_shadow
from unlearning.comparison.results import Results, write_results
from unlearning.comparison.rows import compare_rows
from unlearning.data.manifest import Manifest, has_images_to_forget, load_earlier, load_manifest
from unlearning.over_seeds import Summary
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.stage import run_stage


def main() -> None:
    params = load_params()
    manifest = load_manifest().judged_on(params.evaluate.split)
    write_results(Results(compare(params, manifest), compare_earlier(params)))


def compare(params: Params, manifest: Manifest) -> dict[str, Summary]:
    """Set the models beside each other by what this request forgets."""
    shadows = [read_shadow(number) for number in params.lira.shadows]
    return compare_rows(params, manifest, of_this_request([entry.name for entry in params.downstream]), shadows)


def compare_earlier(params: Params) -> Earlier | None:
    """Do the same by the classes that were erased before; None where there are none."""
    manifest = load_earlier()
    if manifest is None:
        return None
    manifest = manifest.judged_on(params.evaluate.split)
    there = has_images_to_forget(manifest)
    return earlier_of(manifest, compare_rows(params, manifest, of_earlier_requests(), []) if there else {})


if __name__ == "__main__":
    run_stage(main)
