"""What dvc.yaml says of each stage, against what the stage's code does."""

import ast
import itertools
import re
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo as DvcRepo

from tests.pipeline import ROOT
from unlearning.params import Params, known_methods

# Files that cannot change a result: the check of values that DVC tracks itself, the wording of errors, and how a stage
# begins and is stopped.
CHECKS = ("params", "params_file", "params_rules", "budgets", "counts", "bounds", "yaml_text", "errors", "__init__")
FRAME = ("stage", "stopping", "processes")
HARMLESS = {f"src/unlearning/{name}.py" for name in (*CHECKS, *FRAME)}
STAGES: dict[str, dict] = {
    name: stage.get("do", stage) for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}


def script(stage: str) -> Path:
    found = re.search(r"stages/\w+\.py", STAGES[stage]["cmd"])
    assert found
    return ROOT / found.group()


def module_file(module: str) -> Path | None:
    path = ROOT / "src" / Path(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imports(file: Path) -> set[Path]:
    """Return the package's files that a file imports, directly."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    packages = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}
    return {path for name in names | packages if name.startswith("unlearning") if (path := module_file(name))}


def imported(start: set[Path]) -> set[str]:
    """Return all files reached by imports, without docstring-only packages and harmless files."""
    seen: set[Path] = set()
    todo = set(start)
    while todo:
        file = todo.pop()
        seen.add(file)
        todo |= imports(file) - seen
    reached = {str(file.relative_to(ROOT)) for file in seen - start if not only_a_docstring(file)}
    return reached - HARMLESS


def only_a_docstring(file: Path) -> bool:
    return all(isinstance(node, ast.Expr) for node in ast.parse(file.read_text()).body)


def covered(file: str, deps: list[str]) -> bool:
    return any(file == dep or file.startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_every_module_a_stage_imports(stage: str) -> None:
    missing = [file for file in sorted(imported({script(stage)})) if not covered(file, STAGES[stage]["deps"])]
    assert missing == []


@pytest.mark.parametrize("method", known_methods())
def test_deps_name_every_module_a_method_imports(method: str) -> None:
    deps = [dep.replace("${key}", method) for dep in STAGES["unlearn"]["deps"]]
    file = ROOT / "src/unlearning/methods" / f"{method}.py"
    missing = [name for name in sorted(imported({file}) | {str(file.relative_to(ROOT))}) if not covered(name, deps)]
    assert missing == []


def test_source_of_the_data_is_a_dependency_of_the_split() -> None:
    assert all(covered(f"src/unlearning/sources/{name}.py", STAGES["split"]["deps"]) for name in ("digits", "x"))


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_exist(stage: str) -> None:
    deps = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/")) and "${" not in dep]
    assert [dep for dep in deps if not (ROOT / dep).exists()] == []


@pytest.mark.parametrize("stage", [name for name in STAGES if "train" in name or name == "unlearn"])
def test_a_changed_metric_never_trains_again(stage: str) -> None:
    forbidden = [f"src/unlearning/{part}/x.py" for part in ("metrics/alone", "metrics/beside", "evaluation", "figures")]
    assert [file for file in forbidden if covered(file, STAGES[stage]["deps"])] == []


@pytest.mark.parametrize("stage", [name for name in STAGES if name.startswith("evaluate")])
def test_what_is_computed_beside_other_models_measures_no_model_again(stage: str) -> None:
    forbidden = [f"src/unlearning/{part}/x.py" for part in ("metrics/beside", "comparison", "figures", "sources")]
    assert [file for file in forbidden if covered(file, STAGES[stage]["deps"])] == []


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "split"])
def test_how_images_are_read_and_split_trains_and_measures_nothing_again(stage: str) -> None:
    known = ["splitting"] if stage == "report" else ["sources"] if stage.startswith("transfer") else []
    forbidden = [f"src/unlearning/{part}/x.py" for part in ("sources", "splitting") if part not in known]
    assert [file for file in forbidden if covered(file, STAGES[stage]["deps"])] == []


@pytest.mark.parametrize("folder", ["", "data"])
def test_the_lock_names_the_stages_of_the_default_run_and_no_others(folder: str) -> None:
    """DVC never takes out the entry of a stage that is gone, and reads and writes the whole file at every stage."""
    with DvcRepo(ROOT) as repo:
        stages = [stage.addressing for stage in repo.stage.load_all(str(ROOT / folder / "dvc.yaml"))]
    locked = yaml.safe_load((ROOT / folder / "dvc.lock").read_text())["stages"]
    assert sorted(locked) == sorted(name.rpartition(":")[2] for name in stages)


@pytest.mark.parametrize("stage", STAGES)
def test_params_name_every_block_a_script_reads(stage: str) -> None:
    blocks = set()
    for node in ast.walk(ast.parse(script(stage).read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "params":
            blocks.add(node.attr)
        if isinstance(node, ast.keyword) and node.arg == "include":
            blocks |= set(ast.literal_eval(node.value))
    blocks &= set(Params.model_fields) - {"checkpoint_minutes"}  # how often a state is saved changes no result
    text = script(stage).read_text()
    if text.count("params.data") == text.count("params.data.workers"):
        blocks.discard("data")  # how many processes decode images changes no result
    declared = {name.partition(".")[0] for name in STAGES[stage]["params"]}
    if "${item.set}" in STAGES[stage]["cmd"]:  # the entry of `downstream` is in the command itself
        declared.add("downstream")
    if "${key}" in declared:  # a reference's or a method's own block, by name
        blocks -= {"original", "retrained"}
    if stage == "unlearn":
        blocks.discard("methods")  # only `start`, which is in the template's deps
    assert blocks <= declared


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_says_what_it_does(stage: str) -> None:
    assert len(STAGES[stage]["desc"]) > 20


def test_no_two_stages_write_the_same_file() -> None:
    outs = [
        next(iter(out)) if isinstance(out, dict) else out
        for stage in STAGES.values()
        for out in itertools.chain(stage.get("outs", []), stage.get("plots", []), stage.get("metrics", []))
    ]
    assert len(outs) > 10
    assert not any(a != b and b.startswith(f"{a}/") for a in outs for b in outs)
