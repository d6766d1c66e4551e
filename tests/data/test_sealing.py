from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

import pytest

from bayescam.data import ImageError, load_image, open_path, seal_path
from bayescam.data.places import find_place
from bayescam.data.sealing import KEY_VARIABLE, keyed_hash
from bayescam.types import InputError
from tests.data.broken_files import write_dicom
from tests.data.test_dicom import GREY


def test_the_hash_is_hmac_of_the_key(dicom_key: Path) -> None:
    message = b"patient\0" + "Müller-1".encode()
    expected = hmac.new(dicom_key.read_bytes(), message, hashlib.sha256).hexdigest()[:16]
    assert keyed_hash("patient", "Müller-1") == expected
    assert keyed_hash("image", "Müller-1") != expected


@pytest.mark.parametrize("path", ["a", "/x/DOE_JANE/1.dcm#3", "/ü\u202e<script>" + "x" * 3000])
def test_a_sealed_path_is_that_path_again(path: str) -> None:
    sealed = seal_path(path)
    assert open_path(sealed) == path
    assert seal_path(path) == sealed
    assert set(sealed.removeprefix("sealed:")) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


def test_bytes_that_are_no_text_survive() -> None:
    path = os.fsdecode(b"/x/\xff.dcm")
    assert open_path(seal_path(path)) == path


def test_a_sealed_path_tells_neither_its_name_nor_quite_its_length() -> None:
    sealed = {len(seal_path("/data/" + "n" * length)) for length in range(40)}
    assert len(sealed) == 1
    assert "DOE" not in seal_path("/data/DOE")


def test_another_key_or_a_changed_letter_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = seal_path("/x/DOE_JANE/1.dcm")
    place = len("sealed:") + 30
    changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
    for broken in (changed, sealed[:20], "sealed:", "sealed:?"):
        with pytest.raises(InputError, match="another key, or damaged"):
            open_path(broken)
    (tmp_path / "other").write_bytes(b"another key of 32 bytes, or so..")
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "other"))
    with pytest.raises(ImageError, match=r"image sealed:\S+: a path .* sealed with another key"):
        load_image(sealed)


def test_a_key_is_made_once_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first = keyed_hash("patient", "1")
    file = tmp_path / "bayescam" / "dicom.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_bytes()) == 32
    assert keyed_hash("patient", "1") == first
    assert [path.name for path in file.parent.iterdir()] == ["dicom.key"]


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), (b"short", "got 5")])
def test_a_bad_key_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "key"))
    with pytest.raises(InputError, match=message):
        keyed_hash("patient", "1")


def test_a_file_named_like_a_frame_is_that_file(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm#2", GREY)
    assert find_place(tmp_path / "x.dcm#2") == (tmp_path / "x.dcm#2", None)
    assert find_place(tmp_path / "y.dcm#2") == (tmp_path / "y.dcm", 2)
    assert load_image(seal_path(tmp_path / "x.dcm#2")).shape == (9, 14, 3)
