"""Random damage to params.yaml: of its values, its keys, its blocks and its text; the same for a seed everywhere."""

import copy
import random
from collections.abc import Callable
from typing import Any

import yaml

Path = tuple[Any, ...]  # of keys and places in lists, from the top

EXTREMES: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 0.0, -0.0, 1.0, 0.5, 0.999, 1.5, 1e-300, 1e300, 10**9, -(10**9), 10**30, 2**31, 2**63, 2**64, 4097,
    100_000, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
TEXTS = (
    "", " ", "a", "0", "-1", "1e-2", "010", "1:30", "yes", "no", "on", "off", "null", "~", "true", "nan", "[]", "{}",
    "../..", "/", "/dev/zero", "~", "~/x", "file.pt", "C:\\x", "http://a/b", "hf-hub:a/b", "local-dir:/tmp",
    "a/" * 3000, "x" * 300, "x" * 100_000, "\u00e9", "\u202e", "\U0001f600" * 300, "\u0130", "a\nb", "a\0b", "\x1b[2J",
    "${x}",
    "a: b", "- a", "# a", "&a", "*a", "!!int 3", "%YAML", "'", '"', "\t", "resnet18", "vit_tiny_patch16_224", "layer1",
    "fc",
    "ec", "adam", "cifar10", "image_folder", "samples", "file", "classes", "step", "validation", "original",
    "retrained",
)  # fmt: skip
RAW_VALUES = (
    "010", "1:30", "0o17", "0x1F", "1_000", "1e-2", "1e5", "+.5", ".5", "yes", "No", "ON", "~", "2020-01-01", "!!int 3",
    "!!python/name:os.system x", "&a 1", "*a", "&a [*a]", "{a: {a: 1}}", "[1", "'a", '"\\ud800"', '"\\0"', "|\n    a",
    "? a", "9" * 6000, "[" * 30 + "]" * 30, "[" * 50_000, "{a: " * 40 + "1" + "}" * 40,
)  # fmt: skip


def mutated(text: str, seed: int) -> bytes:
    """Return params.yaml with one to three random faults; text: of the file as it should be."""
    draw = random.Random(seed)
    if draw.random() < 0.3:
        return draw.choice(OF_TEXT)(text, draw)
    values = yaml.safe_load(text)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draw.choice(OF_VALUES)(values, draw)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")


# ---- of the values ---------------------------------------------------------------------------------------------------
def paths(value: Any, above: Path = ()) -> list[Path]:
    """Return the places of all values, blocks and items."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [above] if above else []
    for key, one in below:
        found += paths(one, (*above, key))
    return found


def parent_of(values: Any, path: Path) -> Any:
    for key in path[:-1]:
        values = values[key]
    return values


def _somewhere(values: Any, draw: random.Random) -> tuple[Any, Any]:
    """Return (parent, key) of a place; each depth is as likely."""
    found = paths(values)
    if not found:
        values["a"] = 1
        found = [("a",)]
    depth = draw.choice(sorted({len(path) for path in found}))
    path = draw.choice([path for path in found if len(path) == depth])
    return parent_of(values, path), path[-1]


def _anything(draw: random.Random) -> Any:
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: draw.choice(EXTREMES),
        lambda: draw.choice(TEXTS),
        lambda: draw.choice((True, False, None)),
        lambda: [draw.choice(EXTREMES) for _ in range(draw.randint(0, 3))],
        lambda: [draw.choice(TEXTS) for _ in range(draw.randint(1, 3))],
        lambda: {draw.choice(TEXTS): draw.choice(EXTREMES)},
        lambda: [0] * draw.choice((10, 1000, 30_000)),
        lambda: [{}, [], [[]]],
        lambda: {str(number): number for number in range(draw.choice((3, 3000)))},
    )
    return draw.choice(kinds)()


def _extreme(values: Any, draw: random.Random) -> None:
    numbers = [path for path in paths(values) if isinstance(parent_of(values, path)[path[-1]], int | float)]
    if numbers:
        path = draw.choice(numbers)
        parent_of(values, path)[path[-1]] = draw.choice(EXTREMES)


def _another_type(values: Any, draw: random.Random) -> None:
    parent, key = _somewhere(values, draw)
    parent[key] = _anything(draw)


def _deleted(values: Any, draw: random.Random) -> None:
    parent, key = _somewhere(values, draw)
    del parent[key]


def _doubled(values: Any, draw: random.Random) -> None:
    parent, key = _somewhere(values, draw)
    if isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[f"{key}{draw.choice(('', '2', ' ', '.a'))}"] = copy.deepcopy(parent[key])
        parent[draw.choice(TEXTS)] = copy.deepcopy(parent[key])


def _renamed(values: Any, draw: random.Random) -> None:
    parent, key = _somewhere(values, draw)
    if isinstance(parent, dict):
        letters = list(str(key)) or ["a"]
        draw.shuffle(letters)
        parent[draw.choice(("".join(letters), str(key)[:-1], str(key).upper(), draw.choice(TEXTS)))] = parent.pop(key)


def _nested(values: Any, draw: random.Random) -> None:
    parent, key = _somewhere(values, draw)
    for _ in range(draw.choice((1, 1, 2, 25))):
        parent[key] = draw.choice(([parent[key]], {str(key): parent[key]}))


def _swapped(values: Any, draw: random.Random) -> None:
    (one, a), (other, b) = _somewhere(values, draw), _somewhere(values, draw)
    one[a], other[b] = copy.deepcopy(other[b]), copy.deepcopy(one[a])


def _moved(values: Any, draw: random.Random) -> None:
    """Put a whole block into another one."""
    blocks = [key for key, value in values.items() if isinstance(value, dict) and value]
    if len(blocks) > 1:
        one, other = draw.sample(blocks, 2)
        values[one][other] = values.pop(other)


# ---- of the text -----------------------------------------------------------------------------------------------------
def _raw_value(text: str, draw: random.Random) -> bytes:
    lines = text.splitlines()
    number = draw.choice([number for number, line in enumerate(lines) if ": " in line and not line.startswith("#")])
    key = lines[number].partition(": ")[0]
    lines[number] = f"{key}: {draw.choice(RAW_VALUES)}"
    return "\n".join(lines).encode()


def _line_twice(text: str, draw: random.Random) -> bytes:
    lines = text.splitlines()
    lines.insert(draw.randrange(len(lines)), draw.choice(lines))
    return "\n".join(lines).encode()


def _line_lost(text: str, draw: random.Random) -> bytes:
    lines = text.splitlines()
    del lines[draw.randrange(len(lines))]
    return "\n".join(lines).encode()


def _bytes_damaged(text: str, draw: random.Random) -> bytes:
    content = bytearray(text.encode())
    for _ in range(draw.choice((1, 3, 30))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def _cut_off(text: str, draw: random.Random) -> bytes:
    return text.encode()[: draw.randrange(len(text))]


def _indented(text: str, draw: random.Random) -> bytes:
    lines = text.splitlines()
    number = draw.randrange(len(lines))
    lines[number] = draw.choice(("\t", " ", "   ")) + lines[number]
    return "\n".join(lines).encode()


def _encoded(text: str, draw: random.Random) -> bytes:
    return draw.choice(
        (
            text.encode("utf-16"),
            b"\xef\xbb\xbf" + text.encode(),
            text.replace("\n", "\r\n").encode(),
            text.replace("\n", "\r").encode(),
            b"\xff" + text.encode(),
            text.encode() + b"\0" * 10,
            b"",
            b"\0" * 1000,
        )
    )


def _huge(text: str, draw: random.Random) -> bytes:
    piece = draw.choice(("# a comment\n", f"a{'b' * 1000}: 1\n", "- 1\n", "[" * 1000, "a: &a [*a]\n", "x" * 1000))
    return (text + piece * draw.choice((100, 5000))).encode()


def _aliases(text: str, draw: random.Random) -> bytes:
    levels = draw.choice((3, 12, 60))
    bomb = "".join(f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n" for n in range(1, levels))
    return f"l0: &l0 [1, 1]\n{bomb}{text}".encode()


OF_VALUES = (
    _extreme, _extreme, _extreme, _another_type, _another_type, _deleted, _doubled, _renamed, _nested, _swapped, _moved,
)  # fmt: skip
OF_TEXT = (
    _raw_value, _raw_value, _raw_value, _line_twice, _line_lost, _bytes_damaged, _cut_off, _indented, _encoded, _huge,
    _aliases,
)  # fmt: skip
