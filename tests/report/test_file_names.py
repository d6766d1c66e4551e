from __future__ import annotations

from pathlib import Path

import pytest

from bayescam.report import safe_file_name

HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    '"; rm -rf ~; "',
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "\u202egnp.exe",
    "x" * 10_000,
    "é" * 10_000,
    "-rf",
    ".hidden",
    "CON",
    "nul.txt",
    "a\nb",
    "a\x00b",
    "",
    ".",
    "..",
    "trailing. ",
    "\udcff",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_one_plain_file_of_its_folder(tmp_path: Path, name: str) -> None:
    safe = safe_file_name(name)
    assert safe != name
    path = tmp_path / f"01-{safe}-picture.dcm"
    path.touch()
    (tmp_path / f"{safe}.png").touch()
    assert {file.parent for file in tmp_path.rglob("*")} == {tmp_path}
    assert not set(safe) & set("<>:\"/\\|?*'\n\x00\u202e")
    assert not safe.startswith(("-", ".", "="))


def test_different_names_stay_different_and_plain_ones_stay() -> None:
    names = [*HOSTILE, "x" * 10_001, "e\u0301", "ISIC_0024306", "mel - nv", "Läsion 3", "病変"]
    assert len({safe_file_name(name).casefold() for name in names}) == len(names)
    for name in names[-4:]:
        assert safe_file_name(name) == name
