"""Decoding image files to 8-bit RGB, resizing them, and reading masks.

One rule for every format: brightness comes from a *fixed* range (all bits of the format, or the
window which a DICOM file itself asks for), never from the values of the image at hand, so the same
tissue looks the same in two files.
"""

from __future__ import annotations

import stat
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bayescam.data.places import find_place
from bayescam.types import InputError

__all__ = ["MAX_PIXELS", "ImageError", "load_image", "load_images", "load_mask", "resize_image"]

MAX_PIXELS = 89_478_485  # Pillow's own threshold against decompression bombs
_WIDE_GREY = ("I;16", "I;16B", "I;16L", "I;16N")


class ImageError(InputError):
    """An image file that cannot be decoded; `reason` is short and holds no path."""

    def __init__(self, path: str | Path, reason: str) -> None:
        """Join both in one line, but keep them apart for `skipped.csv`."""
        super().__init__(f"cannot read image {path}: {reason}")
        self.path = str(path)
        self.reason = reason


class _FileError(Exception):
    """Why a file cannot be opened, without its name."""


def load_image(path: str | Path) -> NDArray[np.uint8]:
    """Return an image file as uint8 RGB, shape (H, W, 3).

    - Format is told by content, not by suffix. Of a file with several pages or frames the first
      is taken; a frame of a DICOM file with several must be named, as `file.dcm#3`.
    - EXIF rotation is applied.
    - Grey, palette, bilevel and CMYK become RGB. Transparent parts are laid on black, which in
      X-rays and dermatoscopy is "no light".
    - 16 bits are scaled from the full range 0..65535 to 0..255. Floating-point and 32-bit integer
      pixels have no fixed range and are refused.
    - DICOM: rescale, then the file's own window or look-up table (the full range of stored bits
      where it has none), MONOCHROME1 inverted. Tags that name the patient are never read.

    Args:
        path: a file, a frame of one, or either as `seal_path` has sealed it.

    Raises:
        ImageError: if it cannot be decoded, with the reason.

    Example:
        >>> load_image("missing.png")
        Traceback (most recent call last):
        bayescam.data.images.ImageError: cannot read image missing.png: no such file
    """
    try:
        file, frame = find_place(path)
        head = _read_head(file)
        if head[128:132] == b"DICM":
            from bayescam.data.dicom import decode_dicom

            return decode_dicom(file, frame)
        if frame is not None:
            raise ValueError("not a DICOM file, so it has no frames")
        with Image.open(file) as image:
            _check_pixels(image)
            return _to_rgb(image)
    except _FileError as error:
        raise ImageError(path, str(error)) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(path, "not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise ImageError(path, f"more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # decoders raise nearly anything on a damaged file
        raise ImageError(path, _one_line(error)) from error


def load_images(paths: Iterable[str | Path], size: Sequence[int]) -> NDArray[np.uint8]:
    """Return image files as one batch for a model, uint8 RGB, shape (N, H, W, 3).

    Args:
        paths: files; none of them may be undecodable (`ImageLoader` leaves such files out).
        size: (H, W) or the model's (H, W, 3); images are resized without regard to their aspect.

    Raises:
        ImageError: if a file cannot be decoded.
    """
    height, width = size[:2]
    batch = [resize_image(load_image(path), (height, width)) for path in paths]
    return np.stack(batch) if batch else np.empty((0, height, width, 3), np.uint8)


def resize_image(image: NDArray[np.uint8], size: Sequence[int]) -> NDArray[np.uint8]:
    """Return `image` (H, W, 3) at `size` = (height, width), bilinear with antialiasing.

    Antialiased: when shrinking, the triangle filter is widened by the scale, so fine texture
    fades and does not turn to moiré. Equal sizes give an equal image.
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def load_mask(path: str | Path, size: Sequence[int] | None = None) -> NDArray[np.bool_]:
    """Return a mask file as booleans, shape (H, W): any value above 0 is inside.

    Args:
        path: an image file (lossless: JPEG noise around 0 would count as inside).
        size: (height, width) to resize to; a cell is inside if at least half of it is.

    Raises:
        ImageError: if it cannot be decoded.
    """
    inside = np.asarray(load_image(path).any(axis=2), dtype=np.bool_)
    if size is None or inside.shape == tuple(size):
        return inside
    height, width = size
    shrunk = Image.fromarray(inside.astype(np.float32)).resize(
        (width, height), Image.Resampling.BOX
    )
    share: NDArray[np.float32] = np.asarray(shrunk, dtype=np.float32)
    return share >= 0.5


def _read_head(file: Path) -> bytes:
    """The first 132 bytes of an ordinary, non-empty file."""
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _FileError("a folder, not a file")
        if not stat.S_ISREG(mode):
            raise _FileError("not an ordinary file")
        with file.open("rb") as stream:
            head = stream.read(132)
    except FileNotFoundError as error:
        reason = "link to a file that does not exist" if file.is_symlink() else "no such file"
        raise _FileError(reason) from error
    except OSError as error:
        raise _FileError(error.strerror or type(error).__name__) from error
    if not head:
        raise _FileError("empty file")
    return head


def _check_pixels(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("F", "I"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _WIDE_GREY:
        grey = (np.asarray(upright).astype(np.uint32) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return np.array(upright.convert("RGB"))


def _one_line(error: BaseException) -> str:
    """What a decoder said, in one line of bearable length."""
    words = " ".join(str(error).split())
    return textwrap.shorten(words, 200, placeholder=" ...") if words else type(error).__name__
