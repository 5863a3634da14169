"""No stage loads a library that it does not use: on a small problem, imports are a large part of its time."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline import ROOT
from unlearning.params import known_methods

# timm loads torchvision, which loads torch._dynamo (as torch's optimisers do when first made): who has a model has all.
FOR_MODELS = {"timm", "torchvision", "torch._dynamo", "accelerate"}
FOR_FIGURES = {"matplotlib", "sklearn", "scipy"}
NEVER = {"optuna", "dvc", "pandas"}
WITH_A_MODEL = ("train", "pretrain_ec", "unlearn", "evaluate", "transfer", "shadow")
SOURCES = ROOT / "src" / "unlearning"


def loaded_by(scripts: tuple[str, ...], *modules: str) -> set[str]:
    """Return the names of all modules that these stage scripts and modules load, without running any stage."""
    paths = [str(ROOT / "stages" / f"{script}.py") for script in scripts]
    program = (
        "import importlib, runpy, sys\n"
        f"for path in {paths!r}: runpy.run_path(path, run_name='imported')\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
        "print('\\n'.join(sys.modules))"
    )
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def imported_by(file: Path) -> set[str]:
    """Return the top-level packages that a file imports anywhere, within functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("scripts", "modules", "forbidden"),
    [
        (("split",), (), FOR_MODELS | FOR_FIGURES | NEVER),
        (WITH_A_MODEL, [f"unlearning.methods.{name}" for name in known_methods()], FOR_FIGURES | NEVER),
        (("compare",), (), FOR_MODELS | FOR_FIGURES | NEVER),
        (("report",), (), FOR_MODELS | NEVER),
    ],
    ids=["split", "with a model", "compare", "report"],
)
def test_a_stage_loads_only_what_it_uses(scripts: tuple[str, ...], modules: list[str], forbidden: set[str]) -> None:
    loaded = loaded_by(scripts, *modules)
    assert "torch" in loaded
    assert loaded & forbidden == set()


def test_the_stage_that_runs_every_time_loads_no_library_of_arrays_or_images() -> None:
    loaded = loaded_by(("inputs",))
    assert "unlearning.inputs" in loaded
    assert loaded & ({"torch", "numpy", "PIL"} | FOR_MODELS | FOR_FIGURES | NEVER) == set()


def test_scikit_learn_is_for_its_digits_and_for_t_sne_only() -> None:
    users = {str(file.relative_to(SOURCES)) for file in SOURCES.rglob("*.py") if "sklearn" in imported_by(file)}
    assert users == {"sources/digits.py", "figures/tsne.py"}
