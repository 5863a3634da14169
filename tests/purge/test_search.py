"""The search for bytes, against `bytes.find`, in files wherever they lie and in git's objects."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from unlearning.purge import search as searching
from unlearning.purge.search import Pieces, search

RANDOM = np.random.default_rng(0)


def noise(size: int) -> bytes:
    return RANDOM.bytes(size)


def within(pieces: Pieces, content: bytes) -> set[int]:
    return pieces.within(np.frombuffer(content, dtype=np.uint8))


@pytest.mark.parametrize("shift", range(9))
@pytest.mark.parametrize("size", [8, 9, 64, 1024, 5000])
def test_a_piece_is_found_at_any_place(shift: int, size: int) -> None:
    piece = noise(size)
    assert within(Pieces([noise(50), piece]), noise(shift) + piece + noise(3)) == {1}
    assert within(Pieces([piece]), noise(shift) + piece) == {0}


@pytest.mark.parametrize("place", [0, 31, 63])
def test_one_other_byte_is_another_image(place: int) -> None:
    piece = noise(64)
    other = piece[:place] + bytes([piece[place] ^ 1]) + piece[place + 1 :]
    assert within(Pieces([piece]), noise(5) + other + noise(5)) == set()


def test_it_says_what_find_says_of_many_pieces_that_share_most_of_their_bytes() -> None:
    rows = RANDOM.integers(0, 3, (200, 64), dtype=np.uint8)  # few values: most words stand in many of them
    content = noise(7) + b"".join(row.tobytes() for row in rows[::3]) + rows[1].tobytes()[:40]
    expected = {number for number, row in enumerate(rows) if content.find(row.tobytes()) >= 0}
    assert within(Pieces(row.tobytes() for row in rows), content) == expected
    assert expected >= set(range(0, 200, 3))


def test_equal_pieces_are_all_found() -> None:
    piece = noise(64)
    assert within(Pieces([piece, piece]), piece) == {0, 1}


@pytest.mark.parametrize("place", range(24, 34))
def test_a_piece_across_the_ends_of_what_is_searched_at_once_is_found(
    monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(searching, "CHUNK", 32)
    piece = noise(64)
    assert within(Pieces([piece]), noise(place) + piece + noise(20)) == {0}


def test_a_piece_of_one_colour_is_counted_and_not_looked_for() -> None:
    pieces = Pieces([b"\xff" * 64, noise(64), b"ab"])
    assert (pieces.count, pieces.plain, len(pieces)) == (3, 2, 1)
    assert within(pieces, b"\xff" * 500) == set()


def test_nothing_to_look_for_is_found_nowhere() -> None:
    assert within(Pieces([]), noise(100)) == set()


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, bytes]:
    """Return a git repository, and a piece that lies in five of its places: one is an object of an old commit alone."""
    piece = noise(30) * 20  # git packs it
    for name in ("a.bin", ".dvc/cache/files/md5/ab/cd", ".scratch/kept/x", "plots/old.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(noise(17) + piece)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/package").write_bytes(piece)
    (tmp_path / "empty").touch()
    git = ["git", "-c", "user.email=a@example.org", "-c", "user.name=a"]
    for command in (["init", "-q"], ["add", "plots"], ["commit", "-qm", "1"], ["rm", "-q", "plots/old.png"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-qm", "2"], cwd=tmp_path, check=True)
    return tmp_path, piece


def test_files_hidden_folders_and_old_commits_are_searched_and_installed_packages_are_not(
    folder: tuple[Path, bytes],
) -> None:
    root, piece = folder
    found = search(Pieces([noise(64), piece]), root)
    files = {name for name in found.where if not name.startswith("git object ")}
    assert files == {"a.bin", ".dvc/cache/files/md5/ab/cd", ".scratch/kept/x"}
    assert len(found.where) == 4
    assert found.pieces == {1}
    assert found.objects == 1
    assert found.files > 4


def test_a_link_to_a_file_is_read_and_a_link_to_a_folder_is_not_followed(folder: tuple[Path, bytes]) -> None:
    root, piece = folder
    below = root / "below"
    below.mkdir()
    (below / "file").symlink_to(root / "a.bin")
    (below / "folder").symlink_to(root / ".scratch")
    (below / "gone").symlink_to(root / "nowhere")
    assert set(search(Pieces([piece]), below).where) == {"file"}
