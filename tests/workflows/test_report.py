"""`bayescam report` on a real analysis of small images, with and without its evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from PIL import Image
from scipy.special import softmax

from bayescam.explain import MapStatistics
from bayescam.report.packing import unpack
from bayescam.types import InputError
from bayescam.workflows.acting import read_decisions
from bayescam.workflows.case_lists import choose_lists
from bayescam.workflows.cases import ImageMaps, StoredMaps
from bayescam.workflows.evaluate import evaluate_folder
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.report import report_folder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


def content_of(script: Path) -> dict:
    text = script.read_text()
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


@pytest.fixture(scope="module")
def folder(analysis_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The analysis with masks of a third of its images, evaluated; one image is gone since."""
    folder = shutil.copytree(analysis_folder, tmp_path_factory.mktemp("report") / "analysis")
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 5:35] = 255
    Image.fromarray(mask).save(folder.parent / "mask.png")
    records = pd.read_parquet(folder / "records.parquet")
    masks = [str(folder.parent / "mask.png") if i % 3 == 0 else None for i in range(len(records))]
    records = records.assign(mask_path=masks, sex=np.resize(["female", "male"], len(records)))
    order = ordered(folder)
    records.loc[order["image"].iloc[1], "path"] = "gone.png"
    records.to_parquet(folder / "records.parquet")
    evaluate_folder(folder)
    report_folder(folder, in_one_file=True, progress=False)
    return folder


def ordered(folder: Path) -> pd.DataFrame:
    table = pd.read_parquet(folder / "predictions.parquet")
    return table.sort_values("predictive_entropy", ascending=False, kind="stable")


def test_rows_are_all_images_the_most_uncertain_first(folder: Path) -> None:
    order = ordered(folder)
    index = content_of(folder / "report" / "data" / "index.js")
    kept = order.drop(index=order.index[1])
    assert [row["id"] for row in index["rows"]] == kept["image_id"].tolist()
    np.testing.assert_allclose(
        [row["total"] for row in index["rows"]], kept["predictive_entropy"], atol=1e-5
    )
    assert "1 images could no longer be read" in (folder / "report" / "index.html").read_text()
    assert index["details"] == ["split", "sex"]
    evaluation = json.loads((folder / "evaluation.json").read_text())
    decisions = read_decisions(folder, evaluation)
    for row in index["rows"]:
        decision = decisions.get(row["id"])
        assert row["referred"] == (None if decision is None else decision.referred)
        call = order.iloc[row["file"]]["predicted"] if decision is None else decision.called
        assert row["wrong"] == (row["label"] != call)
        changed = decision is not None and decision.called != index["classes"][row["predicted"]]
        assert (f"calibrated: {call}" in row["remarks"]) == changed
        content = content_of(folder / "report" / "cases" / f"{row['file']}.js")
        assert content["decisions"] == ([] if decision is None else list(decision.lines))


def test_a_case_has_the_draws_and_maps_of_its_image(folder: Path) -> None:
    order, analysis = ordered(folder), load_analysis(folder)
    store = zarr.open_group(folder / "analysis.zarr", mode="r")
    for file in (0, 7, 40):
        facts = order.iloc[file]
        content = content_of(folder / "report" / "cases" / f"{file}.js")
        row = int(np.flatnonzero(analysis.predictions["image"] == facts["image"])[0])
        probs = softmax(analysis.logits[:, row].astype(float), axis=-1)
        np.testing.assert_allclose(unpack(content["probs"]), probs, atol=1 / 509)
        best = np.argsort(-probs.mean(axis=0), kind="stable")[:2]
        for place, k in enumerate(best):
            cams = np.asarray(store["cam"][:, facts["image"], k])
            shown = content["maps"][place]
            assert shown["target"] == analysis.class_names[k]
            np.testing.assert_allclose(
                unpack(shown["draws"]), cams, atol=np.abs(cams).max() / 253 + 1e-12
            )
            np.testing.assert_allclose(
                unpack(shown["sd"]), cams.std(axis=0), atol=cams.std(axis=0).max() / 509 + 1e-9
            )
        contrast = unpack(content["contrast"]["mean"])
        means = [np.asarray(store["cam"][:, facts["image"], k]).mean(axis=0) for k in best]
        expected = means[0] - means[1]
        np.testing.assert_allclose(contrast, expected, atol=np.abs(expected).max() / 253 + 1e-12)
        with Image.open(folder / "report" / content["picture"]) as picture:
            assert list(picture.size[::-1]) == content["size"]


def test_the_lists_are_of_scored_images_and_of_what_they_say(folder: Path) -> None:
    index = content_of(folder / "report" / "data" / "index.js")
    lists = {part["name"]: part["cases"] for part in index["lists"]}
    rows = index["rows"]
    split = index["details"].index("split")
    for cases in lists.values():
        assert {rows[number]["details"][split] for number in cases} <= {"test"}
    tests = [i for i, row in enumerate(rows) if row["details"][split] == "test"]
    assert lists["Most uncertain"] == tests[:12]
    wrong = [i for i in tests if rows[i]["wrong"]]
    assert lists["Confidently wrong"] == sorted(wrong, key=lambda i: -rows[i]["confidence"])[:12]
    for number in lists["Right for the wrong reason?"]:
        assert rows[number]["wrong"] is False
        assert {"map outside the mask", "unstable map"} & set(rows[number]["remarks"])


def test_the_map_is_off_the_mask_where_its_share_of_the_energy_is_small(folder: Path) -> None:
    order = ordered(folder)
    index = content_of(folder / "report" / "data" / "index.js")
    store = zarr.open_group(folder / "analysis.zarr", mode="r")
    inside = np.zeros((40, 40), bool)
    inside[10:30, 5:35] = True
    for row in index["rows"]:
        facts = order.iloc[row["file"]]
        k = index["classes"].index(facts["predicted"])
        mean = np.asarray(store["cam"][:, facts["image"], k]).mean(axis=0)
        large = Image.fromarray(np.maximum(mean, 0)).resize((40, 40), Image.Resampling.BILINEAR)
        shares = np.asarray(large, dtype=float)
        has_mask = facts["image"] % 3 == 0
        if not has_mask or not shares.any():
            assert "map outside the mask" not in row["remarks"]
            continue
        enrichment = shares[inside].sum() / shares.sum() / inside.mean()
        if abs(enrichment - 1) > 1e-4:
            assert ("map outside the mask" in row["remarks"]) == (enrichment < 1), enrichment


def test_one_file_holds_the_cases_of_the_front_page(folder: Path) -> None:
    text = (folder / "report" / "report.html").read_text()
    index = content_of(folder / "report" / "data" / "index.js")
    listed = {number for part in index["lists"] for number in part["cases"]}
    assert text.count("Bayescam.receiveCase(") == len(listed)
    assert "images/" not in text
    assert "thumbnails/" not in text


def test_a_report_says_what_the_run_was_trained_on(folder: Path) -> None:
    page = (folder / "report" / "index.html").read_text()
    (training,) = json.loads((folder / "training.json").read_text())
    parts = training["partitions"]
    assert sum(part["num_images"] for part in parts.values()) == 60
    for said in (
        "<dt>backbone</dt><dd>narrow_vgg, first weights random</dd>",
        "<dt>kind</dt><dd>folder</dd>",
        f"Leaked test images: 0 of {parts['test']['num_images']}",
        "0 sets of identical files",
        "images from elsewhere was not tried",
    ):
        assert said in page
    assert str(folder.parent) not in (folder / "training.json").read_text()


def test_an_interrupted_report_carries_on_and_an_old_one_is_replaced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(folder, tmp_path / "analysis")
    before = content_of(copy / "report" / "data" / "index.js")
    read, blocks = [], StoredMaps.read

    def stop_at_the_third(self, batch: int):
        read.append(batch)
        if len(read) == 3:
            raise KeyboardInterrupt
        return blocks(self, batch)

    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr(StoredMaps, "read", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        report_folder(copy, progress=False)
    assert content_of(copy / "report" / "data" / "index.js") == before
    done = len(list((copy / "report.partial" / "rows").glob("*.json")))
    assert 2 <= done < len(read) + 2
    read.clear()
    monkeypatch.setattr(
        StoredMaps, "read", lambda self, batch: read.append(1) or blocks(self, batch)
    )
    (copy / "report" / "old.txt").touch()
    report_folder(copy, progress=False)
    store = StoredMaps(copy / "analysis.zarr")
    assert len(read) == -(-len(ordered(copy)) // store.batch_size) - done
    assert content_of(copy / "report" / "data" / "index.js") == before
    names = {path.name for path in copy.iterdir()}
    assert not {"report.partial", "report.old"} & names
    assert {"checklist.html", "checklist.csv"} <= {
        path.name for path in (copy / "report").iterdir()
    }
    assert not {"old.txt", "rows", "work.json"} & {
        path.name for path in (copy / "report").iterdir()
    }


def test_fewer_cases_are_the_uncertain_the_wrong_and_some_at_random(
    analysis_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(analysis_folder, tmp_path / "analysis")
    report_folder(copy, num_cases=8, progress=False)
    order = ordered(copy)
    index = content_of(copy / "report" / "data" / "index.js")
    ids = [row["id"] for row in index["rows"]]
    assert len(ids) == 8
    assert ids[:4] == order["image_id"].iloc[:4].tolist()
    wrong = order[order["label"] != order["predicted"]].sort_values("confidence", ascending=False)
    assert set(wrong["image_id"].iloc[:2]) <= set(ids)
    assert ids == order[order["image_id"].isin(ids)]["image_id"].tolist()
    assert "was not evaluated" in (copy / "report" / "index.html").read_text()
    assert not (copy / "report" / "report.html").exists()


def test_maps_of_a_summary_have_no_draws(analysis_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(analysis_folder, tmp_path / "analysis")
    group = zarr.open_group(copy / "analysis.zarr", mode="r+", zarr_format=2)
    cams = np.asarray(group["cam"][:])
    shutil.rmtree(copy / "analysis.zarr" / "cam")
    (copy / "analysis.zarr" / ".zmetadata").unlink()
    parts = {
        "mean": cams.mean(axis=0),
        "sd": cams.std(axis=0),
        "p_relevant": (cams > 0.1).mean(axis=0),
        "p_positive": (cams > 0).mean(axis=0),
    }
    for name, part in parts.items():
        array = group.create_array(
            f"cam_{name}", shape=part.shape, chunks=(7, *part.shape[1:]), dtype="f4"
        )
        array[:] = part
    report_folder(copy, num_cases=3, progress=False)
    content = content_of(copy / "report" / "cases" / "0.js")
    assert [part["draws"] for part in content["maps"]] == [None, None]
    image, k = ordered(copy).iloc[0][["image", "predicted"]]
    mean = parts["mean"][image, list(load_analysis(copy).class_names).index(k)]
    np.testing.assert_allclose(
        unpack(content["maps"][0]["mean"]), mean, atol=np.abs(mean).max() / 253
    )


def test_one_report_at_a_time_and_nothing_else_is_replaced(
    analysis_folder: Path, tmp_path: Path
) -> None:
    import fcntl

    copy = shutil.copytree(analysis_folder, tmp_path / "analysis")
    with (copy / "manifest.json").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another report of .* is being written"):
            report_folder(copy, progress=False)
    (copy / "report").mkdir()
    (copy / "report" / "thesis.txt").touch()
    with pytest.raises(InputError, match="report holds no report: move it away"):
        report_folder(copy, progress=False)
    assert (copy / "report" / "thesis.txt").exists()


def test_labels_that_are_no_class_and_maps_without_draws_are_not_judged(
    analysis_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(analysis_folder, tmp_path / "analysis")
    table = pd.read_parquet(copy / "predictions.parquet").assign(label="pneumonia")
    table.to_parquet(copy / "predictions.parquet")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["settings"]["method"] = "layercam"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    zarr.open_group(copy / "analysis.zarr", mode="r+", zarr_format=2).attrs["method"] = "layercam"
    page = report_folder(copy, num_cases=4, progress=False)
    index = content_of(copy / "report" / "data" / "index.js")
    assert [row["wrong"] for row in index["rows"]] == [None] * 4
    assert content_of(copy / "report" / "cases" / "0.js")["contrast"] is None
    assert "contrast of the two likeliest classes is not shown" in page.read_text()
    assert [part["name"] for part in index["lists"]] == ["Most uncertain", "Random sample"]
    facts = pd.DataFrame(
        {
            "total": [1.0, 0.5],
            "wrong": [False, False],
            "confidence": [0.5, 0.6],
            "enrichment": [None, None],
            "agreement": [None, None],
            "listed": [True, True],
        }
    )
    lists = {part.name: part for part in choose_lists(facts, seed=0)}
    assert lists["Right for the wrong reason?"].explanation.startswith("Not assessed")
    facts["agreement"] = [0.3, None]
    part = choose_lists(facts, seed=0)[2]
    assert part.cases == (0,)
    assert part.explanation.endswith("below 0.5 (1 of 2 judged).")


def test_draws_of_large_maps_are_coarser_not_fewer() -> None:
    cams = np.random.default_rng(0).normal(size=(100, 1, 40, 60)).astype(np.float32)
    statistics = MapStatistics(*(cams.mean(axis=0)[None] for _ in range(4)))
    found = ImageMaps(("a",), statistics, cams, 100, True).summary("a")
    assert found.draws.shape == (100, 20, 30)
    expected = cams[3, 0].reshape(20, 2, 30, 2).mean(axis=(1, 3))
    inner = np.corrcoef(found.draws[3].ravel(), expected.ravel())[0, 1]
    assert inner > 0.9  # triangles in place of boxes
    np.testing.assert_array_equal(found.mean, cams.mean(axis=0)[0])
    many = np.zeros((1000, 1, 14, 14), np.float32)
    assert ImageMaps(("a",), statistics, many, 1000, True).summary("a").draws.shape[0] == 306


def test_bad_use_is_one_line(analysis_folder: Path) -> None:
    with pytest.raises(InputError, match="has seed 3; expected 4"):
        report_folder(analysis_folder, seed=4)
    with pytest.raises(InputError, match="`num_cases` must be at least 1; got 0"):
        report_folder(analysis_folder, num_cases=0)
