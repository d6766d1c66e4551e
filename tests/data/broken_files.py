"""Twenty files that look like images by their names and cannot be decoded, each in its own way."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

__all__ = ["write_broken_files", "write_dicom"]


def write_broken_files(folder: Path) -> list[Path]:
    """Write the twenty into `folder` (made if need be) and return their paths.

    None of the kinds depends on the rights of the user, who may be root.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, write in _KINDS.items():
        write(folder / name)
        paths.append(folder / name)
    assert len(paths) == 20
    return paths


def write_dicom(path: Path, pixels: np.ndarray, *, frames: int = 1, **tags: object) -> None:
    """Write an uncompressed DICOM file of `pixels`; `tags` replace or add to the usual ones.

    A tag given as `None` is left out.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = tags.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    bits = 8 * pixels.dtype.itemsize
    colour = pixels.ndim == 3 and frames == 1
    rows, columns = pixels.shape[:2] if frames == 1 else pixels.shape[1:3]
    values = {
        "PatientName": "Doe^Jane",
        "PatientID": "4711",
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    }
    if colour:
        values["PlanarConfiguration"] = 0
    if frames > 1:
        values["NumberOfFrames"] = frames
    for name, value in {**values, **tags}.items():
        if value is not None:
            setattr(dataset, name, value)
    if "BitsStored" in tags:
        dataset.HighBit = dataset.BitsStored - 1
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
        dataset["PixelData"].is_undefined_length = meta.TransferSyntaxUID.is_compressed
    dataset.save_as(path, enforce_file_format=True)


def _picture(suffix: str) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, suffix)
    return stream.getvalue()


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _truncated(suffix: str) -> Callable[[Path], object]:
    whole = _picture(suffix)
    return _bytes(whole[: len(whole) // 2])


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("picture.jpg", _picture("JPEG"))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(bytes(1000)))
        + _chunk(b"IEND", b"")
    )


def _bad_crc_png() -> bytes:
    whole = bytearray(_picture("PNG"))
    whole[18] ^= 0xFF  # a byte of the width; the checksum of the header no longer fits
    return bytes(whole)


def _bad_pixels_png() -> bytes:
    whole = bytearray(_picture("PNG"))
    whole[len(whole) // 2 : len(whole) // 2 + 64] = bytes(64)
    return bytes(whole)


def _link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(path.parent / target)


def _dicom(**tags: object) -> Callable[[Path], object]:
    pixels = np.zeros((16, 16), np.uint8)
    return lambda path: write_dicom(path, pixels, **tags)


_KINDS: dict[str, Callable[[Path], object]] = {
    "empty.jpg": _bytes(b""),
    "text.jpg": _bytes(b"this is not a picture\n" * 20),
    "web_page.png": _bytes(b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
    "zeros.png": _bytes(bytes(4096)),
    "two_bytes.jpg": _bytes(b"\xff\xd8"),
    "truncated.jpg": _truncated("JPEG"),
    "truncated.png": _truncated("PNG"),
    "truncated.tif": _truncated("TIFF"),
    "truncated.bmp": _truncated("BMP"),
    "bad_checksum.png": _bytes(_bad_crc_png()),
    "bad_pixels.png": _bytes(_bad_pixels_png()),
    "huge_header.png": _bytes(_huge_png()),
    "archive.jpg": _zip,
    "folder.jpg": lambda path: path.mkdir(),
    "dangling_link.png": _link("nowhere.png"),
    "circular_link.png": _link("circular_link.png"),
    "pipe.jpg": lambda path: os.mkfifo(path),
    "no_pixels.dcm": _dicom(PixelData=None),
    "short_pixels.dcm": _dicom(PixelData=bytes(100)),
    "false_syntax.dcm": _dicom(
        TransferSyntaxUID=JPEG2000Lossless, PixelData=encapsulate([b"not a codestream"])
    ),
}
