"""Images of more than 8 bits a channel with the values their files hold: Pillow cuts those in colour to 8 bits."""

from pathlib import Path

import numpy as np
import torch
from PIL import ImageFile

from unlearning.data.picture import Deep, turn_of

TIFF_BITS, TIFF_WHITE, TIFF_KIND = 258, 262, 339  # tags: BitsPerSample, PhotometricInterpretation, SampleFormat
UNSIGNED, WHITE_IS_LOW = 1, 0  # values of the last two
SIXTEEN_BITS = 65535


def is_deep(file: ImageFile.ImageFile) -> bool:
    """Tell from an opened file, before it is decoded, whether it has more than 8 bits a channel."""
    return file.mode[0] in "IF" or _is_deep_colour_png(file) or _largest_of_ppm(file) > 255


def is_cut(file: ImageFile.ImageFile) -> bool:
    """Tell whether Pillow would cut the values of an opened file to 8 bits, and nothing else here reads it."""
    return file.format == "TIFF" and file.mode[0] not in "IF" and _tiff_bits(file) > 8


def _is_deep_colour_png(file: ImageFile.ImageFile) -> bool:
    return file.format == "PNG" and file.mode[0] != "I" and any(";16" in str(tile[3]) for tile in file.tile)


def _largest_of_ppm(file: ImageFile.ImageFile) -> int:
    """Return the value that is white in a binary PPM in colour; 0 of anything else."""
    if file.format != "PPM" or file.mode != "RGB" or not file.tile or file.tile[0][0] != "ppm":
        return 0
    return int(file.tile[0][3][1])  # type: ignore[index]


def _tiff_bits(file: ImageFile.ImageFile) -> int:
    return max(np.ravel(file.tag_v2.get(TIFF_BITS, 1)).tolist())  # type: ignore[attr-defined]


def deep_image(file: ImageFile.ImageFile, source: Path | bytes) -> Deep | None:
    """Return an opened image of more than 8 bits as its file has it; None of 8 bits.

    source: the file, or its content, to be read once more. Raises nearly anything for a damaged file.
    """
    if _is_deep_colour_png(file):
        return _deep_png(file, source)
    if _largest_of_ppm(file) > 255:
        return Deep(_deep_ppm(file, source))
    if not is_deep(file):
        return None
    values = np.asarray(file)
    tags = getattr(file, "tag_v2", {})
    if values.dtype == np.int32 and tags and np.ravel(tags.get(TIFF_KIND, UNSIGNED))[0] == UNSIGNED:
        values = values.view(np.uint32)
    return Deep(
        values[:, :, None],
        _keyed(values[:, :, None], file),
        turn_of(file),
        bool(tags) and tags.get(TIFF_WHITE) == WHITE_IS_LOW,
    )


def _deep_png(file: ImageFile.ImageFile, source: Path | bytes) -> Deep:
    """Read a PNG of 16 bits in colour, or with opacity, which Pillow cuts to 8 bits, by torchvision."""
    from torchvision.io import ImageReadMode, decode_png  # here: it takes as long to import as torch

    content = source if isinstance(source, bytes) else source.read_bytes()
    decoded = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    values = decoded.permute(1, 2, 0).numpy()
    if values.shape[2] % 2:
        return Deep(values, _keyed(values, file), turn_of(file))
    return Deep(values[:, :, :-1], values[:, :, -1] / SIXTEEN_BITS, turn_of(file))


def _deep_ppm(file: ImageFile.ImageFile, source: Path | bytes) -> np.ndarray:
    """Read a binary PPM of 16 bits, which Pillow cuts to 8, on the scale 0..65535 that it gives to grey ones."""
    content = source if isinstance(source, bytes) else source.read_bytes()
    width, height = file.size
    values = np.frombuffer(content, dtype=">u2", count=3 * width * height, offset=file.tile[0][2])
    scaled = values.reshape(height, width, 3) * (SIXTEEN_BITS / _largest_of_ppm(file))
    return scaled.clip(0, SIXTEEN_BITS).round().astype(np.uint16)


def _keyed(values: np.ndarray, file: ImageFile.ImageFile) -> np.ndarray | None:
    """Return the opacity where one colour of a PNG is said to be transparent."""
    key = file.info.get("transparency") if file.format == "PNG" else None
    return None if key is None else (values != np.ravel(key)).any(axis=2).astype(np.float64)
