"""Damage done at random to a file of ours, and what reading it must come to: one line, or what was written.

How often: `chaos.tries`, for every kind of file.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos import Ended, tried, tries
from unlearning.errors import InputError

TRIES = tries(40, 2000)
SLOWEST = 10.0  # seconds that reading a damaged small file may take
LONGEST = 1000  # characters of a message: what stages print of it
Damage = Callable[[bytes, Random], bytes]
WRONG: list[Any] = [
    None, True, -1, 10**30, 1.5, 1e300, "", "text", "../x", "/dev/zero", "\0", "\ud800", [], [None], {}, {"x": 1}, [99],
]  # fmt: skip


def bit_flipped(content: bytes, random: Random) -> bytes:
    """Flip one bit to three."""
    damaged = bytearray(content)
    for _ in range(random.randint(1, 3)):
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def cut_short(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def made_longer(content: bytes, random: Random) -> bytes:
    return content + random.choice([b"\0", b" 1", b"}", b"\xff" * 100, content])


def piece_lost(content: bytes, random: Random) -> bytes:
    begin = random.randrange(len(content))
    return content[:begin] + content[begin + random.randint(1, 40) :]


def piece_overwritten(content: bytes, random: Random) -> bytes:
    begin = random.randrange(len(content))
    piece = random.randbytes(random.randint(1, 40))
    return content[:begin] + piece + content[begin + len(piece) :]


def something_else(content: bytes, random: Random) -> bytes:
    others = [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"NaN",
        b"[" * 100_000,
        b"9" * 100_000,
        b"\x80\x04",
        b"\xef\xbb\xbf" + content,
    ]
    return random.choice(others)


BYTES: list[Damage] = [bit_flipped, cut_short, made_longer, piece_lost, piece_overwritten, something_else]


def of_json(change: Callable[[Any, Random], Any]) -> Damage:
    """Return the damage that changes what a JSON file holds, and leaves it JSON."""

    def damage(content: bytes, random: Random) -> bytes:
        return json.dumps(change(json.loads(content), random)).encode()

    return damage


def wrong_value(value: Any, random: Random) -> Any:
    """Put something of another type in a place of a tree chosen at random."""
    return _changed(value, random, lambda _: random.choice(WRONG))


def edited_number(value: Any, random: Random) -> Any:
    """Change one number a little, as somebody would who wants a better one."""
    return _changed(value, random, lambda old: old + random.choice([1, -1, 0.5]), (int, float))


def lost_key(value: Any, random: Random) -> Any:
    """Take a key out of a block chosen at random."""
    places = [place for place, one in _places(value) if isinstance(one, dict) and one]
    block = _at(value, random.choice(places))
    del block[random.choice(sorted(block))]
    return value


JSON: list[Damage] = [of_json(wrong_value), of_json(edited_number), of_json(lost_key)]


def assert_noticed(
    path: Path, read: Callable[[], Any], damages: Sequence[Damage], same: Callable[[Any, Any], bool], seed: int = 0
) -> None:
    """Damage a file TRIES times; each time reading it is one line that names it, or what it was before."""
    kind = f"damage to `{path}`"
    random, content, whole = Random(seed), path.read_bytes(), read()
    path.chmod(0o644)
    try:
        for number in range(TRIES):
            damage = damages[number % len(damages)]
            path.write_bytes(damaged := damage(content, random))
            where = f"try {number}: {getattr(damage, '__name__', damage)}"
            started = time.monotonic()
            try:
                found = read()
            except InputError as error:
                assert_one_line(str(error), path, where)
                tried(kind, Ended.TOLD)
            except Exception as error:
                pytest.fail(f"{where}: {type(error).__name__}: {error}")
            else:
                assert damaged == content or same(found, whole), f"{where}: accepted"
                tried(kind, Ended.SAME)
            assert time.monotonic() - started < SLOWEST, where
    finally:
        path.write_bytes(content)


def assert_one_line(message: str, path: Path, where: str) -> None:
    assert "\n" not in message, where
    assert str(path) in message, where
    assert len(message) <= LONGEST, where
    assert message.encode(), where  # it can be printed


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Return every place of a tree with what stands there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(place, value), *(found for key, one in inner for found in _places(one, (*place, key)))]


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _changed(value: Any, random: Random, change: Callable[[Any], Any], kinds: tuple[type, ...] = (object,)) -> Any:
    places = [place for place, one in _places(value) if place and isinstance(one, kinds) and not isinstance(one, bool)]
    *above, last = random.choice(places)
    block = _at(value, tuple(above))
    block[last] = change(block[last])
    return value
