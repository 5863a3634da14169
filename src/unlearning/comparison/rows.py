"""All rows of the table, each beside the references of its seed, a seed and a row at a time.

Features take up to 0.5 GB a model: those of one seed's references and of one row are held, however many rows there are.
"""

from collections.abc import Iterator

from unlearning.comparison.evidence import Evidence, Shadow
from unlearning.comparison.measured import Measured
from unlearning.comparison.model import Result, compare_model
from unlearning.comparison.yardstick import alike, undefined_idi, yardstick
from unlearning.data.manifest import Manifest
from unlearning.over_seeds import Summary, summarise, worst_hurt
from unlearning.params import ANOTHER, Params, rows_of


def compare_rows(params: Params, manifest: Manifest, measured: Measured, shadows: list[Shadow]) -> dict[str, Summary]:
    """Return every row of the table over all seeds, by name, in the order of the rows.

    manifest: says what was to be forgotten. Raises InputError naming a file that is missing or does not fit.
    """
    undefined = alike({seed: undefined_numbers(params, measured, seed) for seed in params.seeds})
    results: dict[str, dict[int, Result]] = {name: {} for name in rows_of(params)}
    for seed in params.seeds:
        for name, result in rows_of_seed(seed, params, manifest, measured, shadows, undefined):
            results[name][seed] = result
    summaries = {name: summarise(of_seeds, undefined) for name, of_seeds in results.items()}
    for one in summaries.values():
        one.details["worst_retain_classes"] = worst_hurt(one, summaries["original"], manifest)
    return summaries


def undefined_numbers(params: Params, measured: Measured, seed: int) -> dict[str, str]:
    """Return {number: why it cannot be computed in this seed}, from the numbers of the references alone."""
    if "retrained" not in params.references:
        return {}
    return undefined_idi(measured.raw("original", seed), measured.raw("retrained", seed), params.idi)


def rows_of_seed(
    seed: int,
    params: Params,
    manifest: Manifest,
    measured: Measured,
    shadows: list[Shadow],
    undefined: dict[str, str],
) -> Iterator[tuple[str, Result]]:
    """Yield the rows of one seed by name; what was measured of a row is let go before the next one is read."""
    references: dict[str, Evidence] = {name: measured.evidence(name, seed) for name in params.references}
    beside = yardstick(references, manifest, params.idi, params.cka, params.rmia, shadows, undefined)
    following = dict(zip(params.seeds, params.seeds[1:] + params.seeds[:1], strict=True))
    for name in rows_of(params):
        if name in references:
            yield name, compare_model(references[name], beside)
        elif name == ANOTHER:
            yield name, compare_model(measured.evidence("retrained", following[seed]), beside)
        else:
            yield name, compare_model(measured.evidence(name, seed), beside)
