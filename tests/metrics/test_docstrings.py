import ast
from pathlib import Path

import pytest

import unlearning

PACKAGE = Path(unlearning.__file__).parent
METRICS = sorted(path for path in (PACKAGE / "metrics").glob("*.py") if path.name != "__init__.py")
ATTACKS = [PACKAGE / "evaluation" / f"{name}.py" for name in ("relearning", "retain_only", "batchnorm", "loss_barrier")]


@pytest.mark.parametrize("path", [*METRICS, *ATTACKS], ids=lambda path: path.stem)
def test_a_metric_says_how_it_is_to_be_read(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    said = [word for word in ("Direction:", "Range:", "Data:", "Source:", "Expected:") if word in docstring]
    assert said == ["Direction:", "Range:", "Data:", "Source:", "Expected:"]
