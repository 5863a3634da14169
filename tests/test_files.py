import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unlearning.errors import InputError
from unlearning.files import sha256_of, write_atomically, write_json


@contextmanager
def without_root() -> Iterator[None]:
    """Give up root's right to write everywhere, where the tests have it."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_writes_into_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "value.txt"
    write_atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    path.write_text("old")
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append((temporary.parent, path.read_text()))

    write_atomically(path, write)
    assert seen == [(tmp_path, "old")]
    assert path.read_text() == "new"


def test_a_writer_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_success_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    for text in ("one", "two"):
        write_atomically(path, lambda temporary, text=text: temporary.write_text(text))
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"name": "caf\u00e9", "values": [1, 0.25, None, True]}
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("}\n")
    assert text.count("\n") > len(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_json_refuses_what_is_not_finite_and_keeps_the_old_file(tmp_path: Path, value: float) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": [1.0, value]})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("below", ["value.json", "folder/value.json"])
def test_a_file_where_a_folder_is_needed_is_an_error_that_names_the_target(tmp_path: Path, below: str) -> None:
    (tmp_path / "metrics").write_text("I am a file")
    path = tmp_path / "metrics" / below
    with pytest.raises(InputError, match="cannot write") as caught:
        write_json(path, {})
    assert str(path) in str(caught.value)
    assert (tmp_path / "metrics").read_text() == "I am a file"


def test_a_folder_where_the_file_should_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.mkdir()
    with pytest.raises(InputError, match="cannot write") as caught:
        write_json(path, {})
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    path = folder / "value.json"
    with without_root(), pytest.raises(PermissionError, match="no permission to write") as caught:
        write_json(path, {})
    assert str(path) in str(caught.value)
    assert f"check who owns {folder}" in str(caught.value)


@pytest.mark.parametrize("size", [0, 10, (1 << 22) + 1])
def test_sha256_is_of_the_whole_content(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(content[:size])
    assert sha256_of(path) == hashlib.sha256(content[:size]).hexdigest()
