"""Lists of classes and samples, whatever lies where one is expected."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unlearning.data.text_lists import LONGEST_LINE, lines_of
from unlearning.errors import InputError
from unlearning.params import Forget
from unlearning.splitting.classes import class_id, forget_classes

CLASSES = ["ant", "bee", "café", "dog"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_is_read_with_and_without_a_mark(
    tmp_path: Path, make_forget: Callable[..., Forget], encoding: str, end: str
) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(end.join(["ant", "", "café  # seldom"]).encode(encoding))
    assert forget_classes(make_forget(scenario="file", file=str(path)), CLASSES) == [0, 2]


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**9)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda path: path.unlink(missing_ok=True), "No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "is no regular file"),
    "a pipe": (lambda path: os.mkfifo(path), "is no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
    "a terminal": (lambda path: path.symlink_to("/dev/tty"), "is no regular file"),
    "1 GB": (sparse, "has 1000 MB, where 67 MB are the most"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "Latin-1": (lambda path: path.write_bytes("café".encode("latin-1")), "save it as UTF-8 text"),
    "a picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\xff"), "save it as UTF-8 text"),
    "a line without end": (lambda path: path.write_text("ant\n" + "9" * 100_000), "line 2: 100000 characters"),
}


@pytest.mark.parametrize(("make", "says"), ODD.values(), ids=ODD)
@pytest.mark.parametrize("scenario", ["file", "samples"])
def test_what_is_no_list_is_refused_in_one_line_and_never_waited_for(
    tmp_path: Path,
    make_forget: Callable[..., Forget],
    scenario: str,
    make: Callable[[Path], object],
    says: str,
) -> None:
    path = tmp_path / "list.txt"
    make(path)
    with pytest.raises(InputError) as caught:
        lines_of(Path(make_forget(scenario=scenario, file=str(path)).list_file or ""), "forget.file")
    message = str(caught.value)
    assert message.startswith("forget.file: ")
    assert str(path) in message
    assert says in message
    assert len(message) < 300
    assert "\n" not in message


@pytest.mark.parametrize("digits", [10, 19, 400, LONGEST_LINE])
def test_a_number_of_any_length_is_no_class(digits: int) -> None:
    with pytest.raises(InputError, match="no class '9+'"):
        class_id("9" * digits, CLASSES, "forget.file")


def test_names_are_as_long_as_paths_can_be(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a" * LONGEST_LINE)
    assert lines_of(path, "forget.file") == ["a" * LONGEST_LINE]
