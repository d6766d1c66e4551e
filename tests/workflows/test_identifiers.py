"""Identifiers planted in headers, file and folder names leave no trace in any byte of an output."""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bayescam.cli import main
from tests.data.broken_files import write_dicom
from tests.workflows.conftest import CLASSES, draw_image

SECRETS = ("planted", "19310203", "9753186420")
UID = "7766554433"  # may stand in the objects that refer to an image, nowhere else


def pattern(*words: str) -> re.Pattern[bytes]:
    """The words in upper or lower case, in UTF-8, -16 or -32."""
    spaced = [r"\x00{0,3}".join(map(re.escape, word)) for word in words]
    return re.compile("|".join(spaced).encode(), re.IGNORECASE)


HEADER = {
    "PatientName": "Planted^Jane",
    "OtherPatientIDs": "9753186420",
    "PatientBirthDate": "19310203",
    "PatientAddress": "1 Planted Road",
    "AccessionNumber": "9753186420",
    "InstitutionName": "Planted Hospital",
    "ReferringPhysicianName": "Planted^Doctor",
    "StudyDescription": "planted, =cmd()",
    "SeriesDescription": "<script>planted</script>",
    "StudyID": "planted",
    "PatientComments": "planted " * 1250,
    "ImageComments": "../planted \"'",
    "WindowCenterWidthExplanation": "planted",
    "ProtocolName": "planted",
    "StudyInstanceUID": f"1.2.{UID}",
    "FrameOfReferenceUID": f"1.3.{UID}",
    "Modality": "PLANTED",
    "BurnedInAnnotation": "NO",
}


def write_planted(root: Path) -> Path:
    """Images of six patients in folders of their names, one of two frames, and two broken ones."""
    rng = np.random.default_rng(11)
    labels = []
    for number, label in enumerate(CLASSES * 2):
        folder = root / f"planted_{number} =cmd()"
        folder.mkdir(parents=True)
        pixels = draw_image(label, rng)[..., 0]
        other = Dataset()
        other.PatientID = "9753186420"
        name = folder / f"PLANTED^JANE \u202e{number}.dcm"
        write_dicom(
            name,
            np.stack([pixels, 255 - pixels]) if number == 0 else pixels,
            frames=2 if number == 0 else 1,
            **HEADER,
            PatientID=f"9753186420-{number}",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1",
            SOPInstanceUID=f"1.2.{UID}.{number}",
            SeriesInstanceUID=f"1.2.{UID}.{number}.1",
            ReferencedPatientSequence=Sequence([other]),
        )
        add_private_tag(name)
        split = ("train", "val")[number // len(CLASSES)]
        labels.append((name.relative_to(root).as_posix(), label, split, "planted"))
    (root / "planted_broken.dcm").write_bytes(b"planted")
    write_dicom(root / "planted_short.dcm", pixels, **HEADER, Columns=60_000)
    columns = ["path", "label", "split", "remark"]
    pd.DataFrame(labels, columns=columns).to_csv(root / "labels.csv", index=False)
    return root


def add_private_tag(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    block = dataset.private_block(0x0011, "PLANTED", create=True)
    block.add_new(0x01, "LO", "planted privately")
    dataset.save_as(path)


def pieces(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file, and those that it holds packed."""
    yield name, content
    if content.startswith(b"\x1f\x8b"):
        yield from pieces(f"{name}/", gzip.decompress(content))
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield from pieces(f"{name}/{member}", archive.read(member))
    elif content.startswith(b"PAR1"):
        yield f"{name}/cells", pd.read_parquet(io.BytesIO(content)).to_csv().encode()
    elif content.startswith(b"\x89PNG"):
        yield f"{name}/texts", repr(Image.open(io.BytesIO(content)).info).encode()
    elif b"base64," in content:
        for number, coded in enumerate(re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)):
            yield from pieces(f"{name}/{number}", base64.b64decode(coded))


def traces(folder: Path, *words: str) -> set[str]:
    """The files below a folder that hold one of the words, in their name or anywhere within."""
    wanted = pattern(*words)
    found = set()
    for file in folder.rglob("*"):
        below = file.relative_to(folder).as_posix()
        parts = pieces(below, file.read_bytes()) if file.is_file() else []
        found |= {name for name, part in (*parts, (below, below.encode())) if wanted.search(part)}
    return found


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted(tmp_path_factory.mktemp("planted") / "planted data")


def test_the_search_finds_what_is_planted(planted: Path, tmp_path: Path) -> None:
    assert {name.split("/")[0][:8] for name in traces(planted, *SECRETS)} == {
        "planted_",
        "labels.c",
    }
    table = pd.DataFrame({"name": ["Planted"] * 1000})
    table.to_parquet(tmp_path / "a.parquet")
    np.savez_compressed(tmp_path / "b.npz", name=np.array(["x", "planted"] * 1000))
    (tmp_path / "c.gz").write_bytes(gzip.compress(b"..19310203" * 100))
    (tmp_path / "d.bin").write_bytes("pLanted".encode("utf-32-le"))
    (tmp_path / "e.txt").write_text("nothing")
    assert {name[0] for name in traces(tmp_path, *SECRETS)} == set("abcd")


@pytest.mark.filterwarnings("ignore:S = . draws are too few", "ignore:Validation images are scored")
def test_no_identifier_is_in_any_byte_of_the_outputs(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = tmp_path / "out", f"dicom:{planted}"
    run, analysis = str(out / "run"), str(out / "analysis")
    small = ["--backbone", "narrow_vgg", "--input-size", "32", "32", "--head-epochs", "1"]
    several, single, *_, broken, short = sorted(map(str, planted.rglob("*.dcm")))
    few = ["--num-samples", "3"]
    explain = ["explain", run, f"{several}#2", "--dicom", *few, "--target", "ring"]
    unreadable = [several, broken, short]
    for command in (
        ["audit", data],
        ["train", "--data", data, "--out", run, *small],
        ["analyze", run, "--data", data, "--split", "all", *few, "--out", analysis],
        ["evaluate", analysis],
        ["report", analysis, "--num-cases", "3"],
        [*explain, single, *unreadable, "--out", str(out / "figures")],
    ):
        assert main(command) == 0, capsys.readouterr().err
    said = "".join(capsys.readouterr())
    assert not pattern(*SECRETS, UID).search(said.encode())
    assert traces(out, *SECRETS) == set()
    objects = {path.relative_to(out).as_posix() for path in out.rglob("*.dcm")}
    assert len(objects) >= 2
    assert traces(out, UID) == objects
    index = (out / "analysis" / "report" / "data" / "index.js").read_text()
    assert index.count('"id":"dicom-') >= 3
    skipped = pd.read_csv(out / "figures" / "skipped.csv")
    assert skipped["path"].str.fullmatch(r"\d-dicom-[0-9a-f]{16}").all()
    assert len(skipped) == 3
    kept = [*explain, "--keep-identifiers", "--out", str(tmp_path / "kept")]
    assert main(kept) == 0
    assert "PLANTED^JANE" in capsys.readouterr().out
    named = traces(tmp_path / "kept", "9753186420")
    assert {name for name in named if name.endswith(".dcm")} == {
        path.name for path in (tmp_path / "kept").glob("*.dcm")
    }
    assert "explanations.csv" in traces(tmp_path / "kept", "planted")
