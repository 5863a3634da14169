"""Write a scenario's values into params.yaml, comments kept: `unlearning scenario cifar100_random10_small`.

A scenario, scenarios/<name>.yaml, holds only the values that differ from the default, or from another scenario that it
is `based_on`. `git checkout params.yaml` goes back to the default, and what was computed there is not computed again.
What git could not bring back, an edit that is not committed, is overwritten only on request.
"""

import copy
import io
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.tokens import CommentToken

from unlearning.check import check
from unlearning.errors import Faults, InputError, did_you_mean
from unlearning.files import write_atomically
from unlearning.params_file import file_named, load_values, names_in

SCENARIOS = Path("scenarios")
REPLACED_WHOLE = ("model.kwargs", "references", "methods", "audit")  # mappings whose keys are the user's own
BASE = "based_on"  # key of a scenario: another one, whose values hold where it has none
SHOWN = 5  # lost values that a refusal names


def known_scenarios() -> list[str]:
    """Return the names of the files in scenarios/, sorted."""
    return names_in(SCENARIOS)


def scenario_file(name: str) -> Path:
    """Return the file of a scenario; raises InputError that lists the known ones."""
    return file_named(name, SCENARIOS)


def values_of(scenario: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the values of a scenario, those of the one that it is `based_on` among them.

    above: the scenarios that are based on it. Raises InputError for a circle, and for a base that is not there.
    """
    own = _load(YAML(), scenario)
    base = own.pop(BASE, None)
    if base is None:
        return own
    if scenario in above:
        raise InputError(f"{scenario}: {BASE}: {base} is based on it itself; name another, or none")
    values = values_of(scenario_file(str(base)), (*above, scenario))
    _lay_over(values, own)
    return values


def _lay_over(values: dict[str, Any], own: dict[str, Any], prefix: str = "") -> None:
    """Put a scenario's own values over those of its base, in place."""
    for key, value in own.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(values.get(key), dict) and name not in REPLACED_WHOLE:
            _lay_over(values[key], value, f"{name}.")
        else:
            values[key] = value


def apply_scenario(scenario: Path, params: Path, force: bool = False) -> list[str]:
    """Write a scenario's values into params.yaml; see `write_values`.

    Raises InputError, unless `force`, when it would overwrite edits that are not committed.
    """
    new = values_of(scenario)
    if not force:
        _refuse_to_overwrite(new, scenario, params)
    return write_values(new, str(scenario), params)


def remarks(scenario: Path, params: Path) -> list[str]:
    """Return what to say when a scenario is applied: what else differs from the commit, and the way back."""
    committed = committed_values(params)
    if committed is None:
        return [f"{params} is in no commit of git: what it held before is in the lines above alone"]
    before, of_scenario = leaves(committed), leaves(values_of(scenario))
    kept = [
        f"kept: {key}: {_short(value)} (committed: {_short(before.get(key))})"
        for key, value in leaves(_load(YAML(), params)).items()
        if key not in of_scenario and value != before.get(key)
    ]
    lost = ", but not to values above that were not committed" if kept else ""
    return [*kept, f"back to the commit by `git checkout {params}`{lost}"]


def committed_values(params: Path) -> dict[str, Any] | None:
    """Return what git's last commit holds as params.yaml; None where git has none that can be read."""
    command = ["git", "show", f"HEAD:./{params.name}"]
    try:
        text = subprocess.run(command, cwd=params.parent, capture_output=True, check=True).stdout.decode()
        values = YAML().load(text)
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError, YAMLError):
        return None
    return values if isinstance(values, dict) else None


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {dotted key: value} of all that is merged or replaced as one."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        merged = isinstance(value, dict) and name not in REPLACED_WHOLE
        found |= leaves(value, f"{name}.") if merged else {name: value}
    return found


def _refuse_to_overwrite(new: dict[str, Any], scenario: Path, params: Path) -> None:
    values, own = _load(YAML(), params), _own_edits(params)
    lost = [line for line in merge(copy.deepcopy(values), new, str(scenario)) if line.partition(":")[0] in own]
    if lost:
        shown = "; ".join(lost[:SHOWN]) + (f"; and {len(lost) - SHOWN} more" if len(lost) > SHOWN else "")
        raise InputError(
            f"{scenario} would overwrite edits of {params} that are in no commit: {shown}; commit {params} first, or "
            "give --force"
        )


def _own_edits(params: Path) -> set[str]:
    """Return the keys whose value is neither the committed one nor a scenario's: what only the user can know."""
    committed = committed_values(params)
    if committed is None:
        return set()
    known = [leaves(committed)]
    for name in known_scenarios():
        with suppress(InputError):
            known.append(leaves(values_of(scenario_file(name))))
    values = leaves(_load(YAML(), params))
    return {key for key, value in values.items() if not any(key in one and one[key] == value for one in known)}


def write_values(new: dict[str, Any], source: str, params: Path) -> list[str]:
    """Write values into params.yaml, comments kept; returns a line "key: old -> new" for each that changed.

    source: where they come from, for messages. Nothing is written when a key is not in params.yaml or the result is not
    valid: InputError names the key.
    """
    yaml = YAML()
    yaml.width = 10**6  # never breaks a line with its comment
    values = _load(yaml, params)
    changed = merge(values, new, source)
    text = io.StringIO()
    yaml.dump(values, text)

    def write(temporary: Path) -> None:
        temporary.write_text(text.getvalue(), encoding="utf-8")
        try:
            check(temporary)
        except Faults as error:
            raise Faults(error.file.replace(str(temporary), source), error.faults) from None
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), source)) from None

    write_atomically(params, write)
    return changed


def merge(values: dict[str, Any], new: dict[str, Any], source: str, prefix: str = "") -> list[str]:
    """Put the new values into `values`, in place; mappings are merged, everything else is replaced."""
    changed = []
    for key, value in new.items():
        name = f"{prefix}{key}"
        if key not in values:
            raise InputError(f"{source}: {name} is no key of params.yaml{did_you_mean(str(key), list(values))}")
        if isinstance(value, dict) and isinstance(values[key], dict) and name not in REPLACED_WHOLE:
            changed += merge(values[key], value, source, f"{name}.")
        elif values[key] != value:
            changed.append(f"{name}: {_short(values[key])} -> {_short(value)}")
            replace_value(values, key, value)
    return changed


def replace_value(values: Any, key: str, value: Any) -> None:
    """Put a value in the place of another; the comment behind its key, and the blank lines behind it, stay.

    ruamel.yaml keeps both with the old value: behind a list in block style its comment stands before the first item and
    the blank lines behind the last, otherwise all are one text.
    """
    comment, blank = _comment_of(values, key), _blank_lines_behind(values, key)
    in_block = isinstance(value, list | dict) and len(value) > 0
    values[key] = _in_block_style(value) if in_block else value
    if comment is None and not blank:
        return
    text = f"{comment or ''}\n" if in_block else f"{comment or ''}\n{blank}"
    token = CommentToken(text, CommentMark(0))
    values.ca.items[key] = [None, None, token, [] if in_block else None]
    if in_block:
        values[key].ca.comment = [token, []]
        if blank:
            node, last = _last_leaf(values[key])
            node.ca.items[last] = _behind(node, CommentToken(f"\n{blank}", CommentMark(0)))


def _comment_of(values: Any, key: str) -> str | None:
    tokens = values.ca.items.get(key)
    text = tokens[2].value.strip() if tokens and tokens[2] else ""
    return text or None


def _blank_lines_behind(values: Any, key: str) -> str:
    """Return the line ends of the blank lines (and comments) between a value and the next key."""
    old = values[key]
    if isinstance(old, CommentedSeq | CommentedMap) and len(old):
        node, last = _last_leaf(old)
        tokens = node.ca.items.get(last)
        token = tokens and (tokens[0] if isinstance(node, CommentedSeq) else tokens[2])
    else:
        tokens = values.ca.items.get(key)
        token = tokens and tokens[2]
    return token.value.partition("\n")[2] if token else ""


def _last_leaf(node: Any) -> tuple[Any, Any]:
    last = len(node) - 1 if isinstance(node, list) else list(node)[-1]
    below = node[last]
    return _last_leaf(below) if isinstance(below, CommentedSeq | CommentedMap) and len(below) else (node, last)


def _behind(node: Any, token: CommentToken) -> list[Any]:
    return [token, None, None, None] if isinstance(node, CommentedSeq) else [None, None, token, None]


def _in_block_style(value: Any) -> Any:
    """Return lists and mappings as ruamel.yaml's own, in block style, without comments of theirs."""
    if isinstance(value, dict):
        made: Any = CommentedMap((key, _in_block_style(below)) for key, below in value.items())
    elif isinstance(value, list) and value:
        made = CommentedSeq(_in_block_style(below) for below in value)
    else:
        return value
    made.fa.set_block_style()
    return made


def _load(yaml: YAML, path: Path) -> dict[str, Any]:
    """Return what a file holds, comments kept; raises InputError for what `load_values` refuses."""
    load_values(path)
    values: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"))
    return values


def _short(value: Any) -> str:
    """Return a value for a message; of a mapping of mappings (methods, references) the names alone."""
    if isinstance(value, dict) and value and all(isinstance(below, dict) for below in value.values()):
        return str(list(value))
    return "" if value is None else str(list(value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("scenario")
