from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bayescam.data import (
    audit_records,
    load_image,
    open_path,
    read_dicom,
    read_records,
    read_source,
    split_records,
)
from bayescam.data.sealing import keyed_hash
from bayescam.types import InputError
from tests.data.broken_files import write_dicom

PIXELS = np.random.default_rng(3).integers(0, 256, (6, 8), dtype=np.uint8)


def write_study(root: Path) -> Path:
    """Two patients with two images each, one of them with two frames, in folders of their names."""
    for patient, name in (("11", "DOE_JANE"), ("12", "ROE_RICHARD")):
        (root / name).mkdir(parents=True)
        for number in (1, 2):
            several = (patient, number) == ("12", 2)
            write_dicom(
                root / name / f"{number}.dcm",
                np.stack([PIXELS, 255 - PIXELS]) if several else PIXELS + np.uint8(number),
                frames=2 if several else 1,
                PatientID=f" {patient} ",
                SOPInstanceUID=f"1.2.{patient}.{number}",
                StudyInstanceUID=f"1.3.{patient}",
                Modality="DX",
                ImagerPixelSpacing=[0.2, 0.3],
            )
    return root


def test_each_frame_is_a_row_and_a_patient_is_one_group_under_a_keyed_hash(tmp_path: Path) -> None:
    records = read_dicom(write_study(tmp_path / "data"))
    groups = [f"patient-{keyed_hash('patient', chr(0).join(('id', n, '')))}" for n in ("11", "12")]
    assert records["group"].tolist() == [groups[0]] * 2 + [groups[1]] * 3
    assert records["image_id"].tolist() == [
        f"dicom-{keyed_hash('image', uid)}"
        for uid in ("1.2.11.1#1", "1.2.11.2#1", "1.2.12.1#1", "1.2.12.2#1", "1.2.12.2#2")
    ]
    assert [Path(open_path(path)).name for path in records["path"]] == [
        "1.dcm", "2.dcm", "1.dcm", "2.dcm#1", "2.dcm#2"
    ]  # fmt: skip
    np.testing.assert_array_equal(load_image(records["path"][4])[..., 1], 255 - PIXELS)
    assert records["modality"].unique().tolist() == ["DX"]
    assert set(records["row_spacing_mm"]) == {0.2}
    assert set(records["column_spacing_mm"]) == {0.3}
    text = records.to_csv()
    assert not any(name in text for name in ("DOE", "ROE", "Jane", "1.2.11", "data"))
    cut = split_records(records, fractions={"train": 0.5, "test": 0.5})
    audit = audit_records(cut, near_duplicates=False)
    assert not audit.has_leaks
    assert len(audit.unreadable) == len(audit.identical_files) == 0


def test_kept_identifiers_are_there(tmp_path: Path) -> None:
    records = read_dicom(write_study(tmp_path / "data"), keep_identifiers=True)
    assert records["group"].tolist() == ["11", "11", "12", "12", "12"]
    assert records["image_id"].tolist() == [
        "DOE_JANE/1.dcm", "2.dcm", "ROE_RICHARD/1.dcm", "2.dcm#1", "2.dcm#2"
    ]  # fmt: skip
    assert records["path"][0] == str(tmp_path / "data" / "DOE_JANE" / "1.dcm")


@pytest.mark.parametrize(
    ("column", "names", "labels"),
    [
        ("PatientID", ["11", "12"], ["a", "a", "b", "b", "b"]),
        ("StudyInstanceUID", ["1.3.12"], [None, None, "a", "a", "a"]),
        ("path", ["ROE_RICHARD/2.dcm", "ROE_RICHARD/2.dcm#2"], [None, None, None, "a", "b"]),
    ],
)
def test_labels_of_a_table(
    tmp_path: Path, column: str, names: list[str], labels: list[str | None]
) -> None:
    root = write_study(tmp_path / "data")
    table = pd.DataFrame({column: names, "label": list("ab")[: len(names)], "name": "Jane"})
    table["mask_path"] = "mask.png"
    table.to_csv(root / "labels.csv", index=False)
    records = read_records(f"dicom:{root}")
    found = [None if pd.isna(label) else label for label in records["label"]]
    assert found == labels
    assert "name" not in records
    assert open_path(records["mask_path"].dropna().iloc[0]) == str(root / "mask.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\nx\n", "must have the column label and one of path, SOPInstanceUID"),
        ("PatientID,label\n11,x\n11,y\n", "line 3: `PatientID` is empty or occurs twice"),
        ("PatientID,label,split\nDoe,x,JOHN 1931\n", "line 2: `split` must be train, val, test$"),
        ("PatientID,label\nJane,x\n", "none of the 1 rows of labels.csv names an image"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    root = write_study(tmp_path / "data")
    (root / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_dicom(root)
    assert "Jane" not in str(caught.value)


def test_without_an_id_the_patient_is_the_name_and_date_of_birth_or_the_study(
    tmp_path: Path,
) -> None:
    header: dict[str, object] = {"PatientID": None, "PatientBirthDate": "19700101"}
    for number, name in enumerate(("Doe^Jane", "Doe^Jane", "", "")):
        write_dicom(
            tmp_path / f"{number}.dcm",
            PIXELS,
            **header,
            PatientName=name,
            StudyInstanceUID="1.9",
        )
    write_dicom(tmp_path / "4.dcm", PIXELS, PatientID=None, PatientName=None)
    groups = read_dicom(tmp_path)["group"]
    assert groups.isna().tolist() == [False, False, False, False, True]
    assert groups.nunique() == 2


def test_files_are_found_by_their_beginning_and_copies_are_told_apart(tmp_path: Path) -> None:
    for name in ("1.2.840.3", "IMG", "x.dcm"):
        write_dicom(tmp_path / name, PIXELS, SOPInstanceUID="1.2.3")
    write_dicom(tmp_path / "DICOMDIR", PIXELS)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "broken.dcm").write_text("x")
    records = read_dicom(tmp_path)
    name = f"dicom-{keyed_hash('image', '1.2.3#1')}"
    assert records["image_id"].drop(2).tolist() == [name, f"{name}-2", f"{name}-3"]
    assert read_dicom(tmp_path / "x.dcm")["image_id"].tolist() == [name]
    with pytest.raises(InputError, match="no file with the suffix"):
        read_dicom(tmp_path / "notes.txt")


@pytest.mark.parametrize("layout", ["folder", "table"])
def test_dicom_in_other_data_sets_is_hidden_too(tmp_path: Path, layout: str) -> None:
    for number, label in enumerate("ab", start=1):
        (tmp_path / label).mkdir()
        write_dicom(tmp_path / label / f"DOE_{label}.dcm", PIXELS, SOPInstanceUID=f"1.2.{number}")
    table = pd.DataFrame({"path": ["a/DOE_a.dcm", "b/DOE_b.dcm"], "label": ["a", "b"]})
    table["group"] = "4711"
    table.to_csv(tmp_path / "t.csv", index=False)
    source = f"{layout}:{tmp_path if layout == 'folder' else tmp_path / 't.csv'}"
    hidden, plain = read_records(source), read_records(source, keep_identifiers=True)
    assert hidden["label"].tolist() == ["a", "b"]
    assert hidden["group"].nunique() == 1
    assert [open_path(path) for path in hidden["path"]] == plain["path"].tolist()
    assert "DOE" not in hidden.to_csv()
    assert "4711" not in hidden.to_csv()
    assert plain["image_id"].tolist() == ["DOE_a", "DOE_b"]
    assert hidden["image_id"].str.fullmatch(r"dicom-[0-9a-f]{16}").all()


@pytest.mark.parametrize(
    ("tags", "warned"),
    [
        ({"BurnedInAnnotation": "YES"}, True),
        ({"BurnedInAnnotation": "NO", "Modality": "US"}, False),
        ({"Modality": "US"}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.4"}, True),
        ({"ConversionType": "DF"}, True),
        ({"Modality": "DX"}, False),
    ],
)
def test_burned_in_text_is_warned_of_once(
    tmp_path: Path, tags: dict[str, object], warned: bool
) -> None:
    for number in range(3):
        write_dicom(tmp_path / f"{number}.dcm", PIXELS, **(tags if number else {"Modality": "CR"}))
    if not warned:
        read_dicom(tmp_path)
        return
    with pytest.warns(UserWarning, match="2 of 3 DICOM files say that text is burned") as caught:
        read_dicom(tmp_path)
    assert len(caught) == 1


def test_what_an_object_says_of_a_frame_of_an_enhanced_image(tmp_path: Path) -> None:
    measures, turn, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.25], 3
    turn.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([turn])
    own = []
    for depth in (7, 9):
        place, groups = Dataset(), Dataset()
        place.ImagePositionPatient = [depth, 1, 2]
        groups.PlanePositionSequence = Sequence([place])
        own.append(groups)
    write_dicom(
        tmp_path / "x.dcm",
        np.stack([PIXELS, PIXELS]),
        frames=2,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1",
        SOPInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.4",
        StudyInstanceUID="1.2.5",
        FrameOfReferenceUID="1.2.6",
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(own),
    )
    source = read_source(f"{tmp_path / 'x.dcm'}#2")
    assert source.has_plane
    assert (source.position_mm, source.spacing_mm, source.frame) == ((9, 1, 2), (0.5, 0.25), 2)
    assert (source.orientation, source.thickness_mm) == ((0, 1, 0, 0, 0, -1), 3)
    assert source.patient == {}


@pytest.mark.parametrize("uid", [None, "<script>", "Doe^Jane"])
def test_an_image_without_valid_ids_is_refused_in_words_of_ours(
    tmp_path: Path, uid: str | None
) -> None:
    ids = {f"{name}InstanceUID": "1.2.3" for name in ("SOP", "Series")}
    tags = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "BurnedInAnnotation": "NO"}
    path = tmp_path / "x.dcm"
    write_dicom(path, PIXELS, **ids, **tags)
    dataset = pydicom.dcmread(path)
    if uid is not None:
        element = pydicom.DataElement("StudyInstanceUID", "UI", "1.2")
        element._value = uid
        dataset["StudyInstanceUID"] = element
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"no valid StudyInstanceUID$"):
        read_source(path)
