from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bayescam.data import (
    RECORD_COLUMNS,
    check_records,
    parse_source,
    read_chest_xray,
    read_chexpert,
    read_covid_chestxray,
    read_ham10000,
    read_image_folder,
    read_mura,
    read_records,
    read_table,
)
from bayescam.types import InputError
from tests.data.broken_files import write_dicom


def _image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (200, 100, 50)).save(path)
    return path


@pytest.fixture
def ham(tmp_path: Path) -> Path:
    root = tmp_path / "ham"
    for part, name in ((1, "ISIC_1"), (1, "ISIC_2"), (2, "ISIC_3")):
        _image(root / f"HAM10000_images_part_{part}" / f"{name}.jpg")
    _image(root / "HAM10000_segmentations_lesion_tschandl" / "ISIC_2_segmentation.png")
    (root / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "HAM_1,ISIC_3,mel,histo,50.0,male,back\n"
        "HAM_1,ISIC_1,mel,histo,50.0,male,back\n"
        "HAM_2,ISIC_2,nv,follow_up,,female,face\n"
        "HAM_3,ISIC_9,nv,follow_up,30.0,female,face\n"
    )
    return root


def test_ham10000(ham: Path) -> None:
    records = read_ham10000(ham)
    check_records(records)
    assert tuple(records.columns[:6]) == RECORD_COLUMNS
    assert records["image_id"].tolist() == ["ISIC_3", "ISIC_1", "ISIC_2", "ISIC_9"]
    assert records["label"].tolist() == ["mel", "mel", "nv", "nv"]
    assert records["group"].tolist() == ["HAM_1", "HAM_1", "HAM_2", "HAM_3"]
    assert records["split"].isna().all()
    assert records["path"][0] == str(ham / "HAM10000_images_part_2" / "ISIC_3.jpg")
    assert records["mask_path"].notna().tolist() == [False, False, True, False]
    assert Path(records["mask_path"][2]).is_file()
    assert records["age"][3] == 30.0


def test_ham10000_keeps_the_row_of_a_missing_image(ham: Path) -> None:
    missing = read_ham10000(ham).iloc[3]
    assert missing["path"] == str(ham / "HAM10000_images_part_1" / "ISIC_9.jpg")
    assert not Path(missing["path"]).exists()


def test_ham10000_refuses_a_wrong_root(ham: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder: .*nowhere"):
        read_ham10000(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no HAM10000_metadata\.csv in .*images_part_1"):
        read_ham10000(ham / "HAM10000_images_part_1")
    with pytest.raises(InputError, match="a folder was expected, but this is a file"):
        read_ham10000(ham / "HAM10000_metadata.csv")
    for image in ham.glob("*_part_*/*.jpg"):
        image.unlink()
    with pytest.raises(InputError, match=r"none of the 4 images .* files like ISIC_3\.jpg"):
        read_ham10000(ham)
    (ham / "HAM10000_metadata.csv").write_text("image_id,dx\nISIC_1,nv\n")
    with pytest.raises(InputError, match="lesion_id not found"):
        read_ham10000(ham)


@pytest.fixture
def kermany(tmp_path: Path) -> Path:
    root = tmp_path / "xray"
    for patient in range(1, 21):
        _image(root / "train" / "NORMAL" / f"IM-{patient:04d}-0001.jpeg")
        _image(root / "train" / "PNEUMONIA" / f"person{patient}_bacteria_{patient}.jpeg")
        _image(root / "train" / "PNEUMONIA" / f"person{patient}_virus_{50 + patient}.jpeg")
    _image(root / "val" / "NORMAL" / "NORMAL2-IM-0001-0001-0002.jpeg")
    _image(root / "val" / "PNEUMONIA" / "person99_virus_1.jpeg")
    _image(root / "test" / "NORMAL" / "IM-0100-0001.jpeg")
    _image(root / "test" / "PNEUMONIA" / "person3_virus_7.jpeg")
    _image(root / "lung_masks" / "person3_virus_7_lung.png")
    _image(root.with_name("xray_lung_masks") / "IM-0001-0001_lung.png")
    (root / "train" / "NORMAL" / ".DS_Store").write_text("x")
    return root


def test_chest_xray_published_split(kermany: Path) -> None:
    records = read_chest_xray(kermany, published_split=True).set_index("image_id")
    assert records["split"].value_counts().to_dict() == {"train": 60, "val": 2, "test": 2}
    assert records.loc["person3_virus_7", ["label", "group", "subtype", "person"]].tolist() == [
        "PNEUMONIA",
        "person3",
        "virus",
        "person3",
    ]
    # Two series that are numbered apart: IM-0001 and NORMAL2-IM-0001 are two patients.
    assert records.loc["IM-0001-0001", "group"] == "IM-0001"
    assert records.loc["NORMAL2-IM-0001-0001-0002", "group"] == "NORMAL2-IM-0001"
    assert records.loc["IM-0001-0001", ["subtype", "person"]].isna().all()
    masked = records["mask_path"].dropna()
    assert set(masked.index) == {"person3_virus_7", "IM-0001-0001"}


def test_chest_xray_cuts_train_and_val_again_by_patient(kermany: Path) -> None:
    records = read_chest_xray(kermany, seed=3)
    assert (records["split"] == "test").equals(records["published_split"] == "test")
    pool = records[records["split"] != "test"]
    assert pool.groupby("group")["split"].nunique().max() == 1
    assert (pool["split"] == "val").sum() == pytest.approx(0.15 * len(pool), abs=2)
    assert read_chest_xray(kermany, seed=3).equals(records)


def test_chest_xray_finds_the_inner_folder_and_refuses_others(
    kermany: Path, tmp_path: Path
) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "chest_xray").symlink_to(kermany)
    assert len(read_chest_xray(outer)) == 64
    with pytest.raises(InputError, match="no train/NORMAL or train/PNEUMONIA in"):
        read_chest_xray(kermany / "train")


def test_covid(tmp_path: Path) -> None:
    root = tmp_path / "covid"
    for name in ("a.jpg", "b.png", "c.jpg", "d.jpg", "e.jpg"):
        _image(root / "images" / name)
    _image(root.with_name("covid_lung_masks") / "b_lung.png")
    (root / "metadata.csv").write_text(
        "patientid,finding,modality,folder,filename\n"
        "007,COVID-19,X-ray,images,a.jpg\n"
        '7,"COVID-19, ARDS",X-ray,images,b.png\n'
        "8,No Finding,X-ray,images,c.jpg\n"
        "9,Pneumonia/Viral/SARS,X-ray,images,d.jpg\n"
        "9,todo,X-ray,images,e.jpg\n"
        "9,COVID-19,CT,volumes,f.nii.gz\n"
    )
    records = read_covid_chestxray(root)
    assert records["label"].tolist()[:4] == ["COVID-19", "COVID-19", "no finding", "other finding"]
    assert records["label"].isna().tolist() == [False] * 4 + [True]
    assert records["group"].tolist()[:2] == ["patient-007", "patient-7"]
    assert records["mask_path"].notna().tolist() == [False, True, False, False, False]
    assert records["finding"][1] == "COVID-19, ARDS"
    with pytest.raises(InputError, match=r"no metadata\.csv in .*images"):
        read_covid_chestxray(root / "images")


def test_image_folder(tmp_path: Path) -> None:
    _image(tmp_path / "cat" / "one.jpg")
    _image(tmp_path / "cat" / "deeper" / "two.PNG")
    _image(tmp_path / "dog" / "one.jpg")
    _image(tmp_path / "masks" / "two_mask.png")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    write_dicom(tmp_path / "dog" / "I0000001", np.zeros((4, 4), np.uint8))
    (tmp_path / "dog" / "link.jpg").symlink_to("nowhere")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path / "cat")
    records = read_image_folder(tmp_path).set_index("image_id")
    # A stem that occurs twice gives way to the path.
    assert records["label"].to_dict() == {
        "two": "cat",
        "cat/one.jpg": "cat",
        "I0000001": "dog",
        "link": "dog",
        "dog/one.jpg": "dog",
    }
    assert records["mask_path"].dropna().index.tolist() == ["two"]
    assert records["group"].isna().all()


def test_image_folder_with_splits_and_without_classes(tmp_path: Path) -> None:
    _image(tmp_path / "a" / "train" / "cat" / "1.jpg")
    _image(tmp_path / "a" / "Valid" / "cat" / "2.jpg")
    _image(tmp_path / "a" / "test" / "3.jpg")
    records = read_image_folder(tmp_path / "a")
    assert dict(zip(records["image_id"], records["split"], strict=True)) == {
        "1": "train",
        "2": "val",
        "3": "test",
    }
    assert records.set_index("image_id")["label"].isna().to_dict() == {
        "1": False,
        "2": False,
        "3": True,
    }
    _image(tmp_path / "a" / "dog" / "4.jpg")
    with pytest.raises(InputError, match="'dog'; the first level must be either splits or classes"):
        read_image_folder(tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="no images below"):
        read_image_folder(tmp_path / "b")


def test_mura(tmp_path: Path) -> None:
    study = tmp_path / "train" / "XR_WRIST" / "patient00006" / "study1_positive"
    _image(study / "image1.png")
    _image(study / "image2.png")
    _image(tmp_path / "valid" / "XR_HAND" / "patient00007" / "study2_negative" / "image1.png")
    records = read_mura(tmp_path)
    assert records["label"].tolist() == ["positive", "positive", "negative"]
    assert records["group"].tolist() == ["patient00006", "patient00006", "patient00007"]
    assert records["split"].tolist() == ["train", "train", "val"]
    assert records["body_part"].tolist() == ["wrist", "wrist", "hand"]
    assert records["image_id"].is_unique
    with pytest.raises(InputError, match="MURA: no images in"):
        read_mura(study)


def test_table(tmp_path: Path) -> None:
    csv = tmp_path / "table.csv"
    csv.write_text(
        "path,label,group,split,mask_path,reader\n"
        "a/1.png,None,007,train,a/1_mask.png,x\n"
        "/absolute/2.png,1,,validation,,y\n"
        "3.png,,p3,,,z\n"
    )
    records = read_table(csv)
    check_records(records)
    assert records["path"].tolist() == [
        str(tmp_path / "a/1.png"),
        "/absolute/2.png",
        str(tmp_path / "3.png"),
    ]
    assert records["label"].tolist()[:2] == ["None", "1"]  # words stay words, digits too
    assert records["label"].isna()[2]
    assert records["group"][0] == "007"
    assert records["split"].tolist()[:2] == ["train", "val"]
    assert records["mask_path"][0] == str(tmp_path / "a/1_mask.png")
    assert records["reader"].tolist() == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Path,label\nx.png,a\n", r"path not found among Path, label\. Rename 'Path' to 'path'"),
        ("path,lable\nx.png,a\n", "label not found among path, lable"),
        ("path,label\nx.png,a\n,b\n", "line 3: `path` is empty"),
        ("path,label\nx.png,a\nx.png,b\n", "more than once"),
        ("path,label,split\nx.png,a,holdout\n", "line 2: `split` must be .* got 'holdout'"),
        ("image_id,path,label\n1,x.png,a\n1,y.png,b\n", "line 3: `image_id` is empty or occurs"),
        ("path,label\n", "at least one row"),
        ("", "cannot be read as CSV"),
    ],
)
def test_table_refuses(tmp_path: Path, text: str, message: str) -> None:
    csv = tmp_path / "table.csv"
    csv.write_text(text)
    with pytest.raises(InputError, match=message):
        read_table(csv)


def test_table_refuses_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is a folder"):
        read_table(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("uncertain", "third"), [("ignore", None), ("zero", "negative"), ("one", "positive")]
)
def test_chexpert(tmp_path: Path, uncertain: str, third: str | None) -> None:
    root = tmp_path / "CheXpert-v1.0-small"
    paths = [f"train/patient0000{k}/study1/view1_frontal.jpg" for k in (1, 2, 3, 4)]
    for path in paths:
        _image(root / path)
    lines = [
        f"CheXpert-v1.0-small/{path},{cell}"
        for path, cell in zip(paths, ("1.0", "0.0", "-1.0", ""), strict=True)
    ]
    (root / "train.csv").write_text("Path,Edema\n" + "\n".join(lines))
    records = read_chexpert(root, finding="Edema", uncertain=uncertain)
    labels = [None if pd.isna(label) else label for label in records["label"]]
    assert labels == ["positive", "negative", third, "negative"]
    assert records["group"][0] == "patient00001"
    assert (records["split"] == "train").all()
    assert all(Path(path).is_file() for path in records["path"])
    renamed = root.rename(tmp_path / "chexpert")
    cut = (renamed / "train.csv").read_text().replace("CheXpert-v1.0-small/", "")
    (renamed / "train.csv").write_text(cut)  # as some people cut the paths
    again = read_chexpert(renamed, finding="Edema", uncertain=uncertain)
    assert again["image_id"].equals(records["image_id"])
    assert all(Path(path).is_file() for path in again["path"])
    root = renamed
    with pytest.raises(InputError, match="must have the column 'Pneumonia'; found Path, Edema"):
        read_chexpert(root)
    with pytest.raises(InputError, match="`uncertain` must be one of ignore, zero, one; got 'two'"):
        read_chexpert(root, finding="Edema", uncertain="two")
    (root / "train.csv").write_text("Path,Edema\ntrain/patient1/study1/a.jpg,1\n,0\n")
    with pytest.raises(InputError, match="line 3: `Path` is empty"):
        read_chexpert(root, finding="Edema")
    (root / "train.csv").write_text("Path,Edema\ntrain/patient1/study1/a.jpg,1\n")
    with pytest.raises(InputError, match=r"none of the 1 images .* files like .*study1/a\.jpg"):
        read_chexpert(root, finding="Edema")


def test_registry(ham: Path, kermany: Path) -> None:
    assert read_records(f"ham10000:{ham}").equals(read_ham10000(ham))
    published = read_records(f"chest_xray:{kermany}", published_split=True)
    assert published["split"].equals(published["published_split"])
    assert not read_records(f"chest_xray:{kermany}", seed=1)["split"].equals(published["split"])
    assert parse_source("folder:~/x") == ("folder", Path.home() / "x")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("some/dir", r"KIND one of ham10000, .* Did you mean folder:some/dir\?"),
        ("cases.csv", r"Did you mean table:cases\.csv\?"),
        ("ham1000:x", r"got 'ham1000'\. Did you mean ham10000:x\?"),
        ("zzz:x", r"got 'zzz'\.$"),
        ("covid:", "the path after covid: is empty"),
    ],
)
def test_registry_refuses(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_source(source)


def test_check_records_refuses() -> None:
    good = pd.DataFrame(
        {
            name: pd.Series(values, dtype="str")
            for name, values in zip(
                RECORD_COLUMNS,
                (
                    ["a", "b"],
                    ["a.png", "b.png"],
                    ["x", None],
                    [None] * 2,
                    ["train", None],
                    [None] * 2,
                ),
                strict=True,
            )
        }
    )
    check_records(good)
    with pytest.raises(TypeError, match=r"pandas\.DataFrame; got list"):
        check_records([good])
    with pytest.raises(InputError, match="group not found"):
        check_records(good.drop(columns="group"))
    with pytest.raises(InputError, match="at least one row"):
        check_records(good.iloc[:0])
    with pytest.raises(InputError, match="'a' occurs more than once"):
        check_records(pd.concat([good, good]))
    with pytest.raises(InputError, match="got 'dev'"):
        check_records(good.assign(split=["dev", "train"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read as CSV"), ("lésion".encode("latin-1"), "cannot be read as CSV")],
)
@pytest.mark.parametrize(
    ("reader", "name"),
    [(read_ham10000, "HAM10000_metadata.csv"), (read_covid_chestxray, "metadata.csv")],
)
def test_unreadable_metadata_is_one_line(reader, name, content, message, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        reader(tmp_path)
