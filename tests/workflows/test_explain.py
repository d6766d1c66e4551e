from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

import bayescam as bc
from bayescam.cli import main
from bayescam.data import ImageLoader
from bayescam.data.sealing import keyed_hash
from bayescam.explain import Target
from bayescam.types import CamDraws, InputError
from bayescam.workflows.streaming import AnalysisOptions, analyze_records
from tests.data.broken_files import write_dicom


@pytest.fixture(scope="module")
def picture(image_folder: Path) -> Path:
    return sorted(image_folder.rglob("ring*.png"))[0]


@pytest.mark.filterwarnings("ignore:S = 20 draws are too few")
def test_a_dicom_is_explained_like_the_same_picture_and_its_probabilities_are_printed(
    run_folder: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = np.asarray(Image.open(picture))[..., 0]
    write_dicom(tmp_path / "xray.dcm", grey, SOPInstanceUID="1.2.3")
    Image.fromarray(grey).save(tmp_path / "photo.png")
    files = [str(tmp_path / name) for name in ("xray.dcm", "photo.png")]
    options = ["--num-samples", "20", "--method", "hirescam", "--layer", "block4_conv1"]
    targets = ["--target", "disc - ring", "--target", "mutual_information"]
    out = tmp_path / "out"
    assert main(["explain", str(run_folder), *files, *options, *targets, "--out", str(out)]) == 0
    dicom, photo = (row for _, row in pd.read_csv(out / "explanations.csv").iterrows())
    name = f"1-dicom-{keyed_hash('image', '1.2.3#1')}"
    assert (dicom["figure"], photo["figure"]) == (f"{name}.png", "2-photo.png")
    pd.testing.assert_series_equal(dicom[2:], photo[2:], check_names=False)
    said = capsys.readouterr().out
    assert said.index(f"{name}: ") < said.index("photo.png: ")
    rows = re.findall(r"^(disc|plain|ring) +(\S+) +\[(\S+), (\S+)\]$", said, re.MULTILINE)
    assert len(rows) == 2 * 3
    for name, *numbers in rows:
        expected = [dicom[f"p_{name}_{what}"] for what in ("mean", "lower", "upper")]
        assert [float(number) for number in numbers] == pytest.approx(expected, abs=6e-4)
    assert [float(mean) for _, mean, *_ in rows[:3]] == sorted(
        (float(mean) for _, mean, *_ in rows[:3]), reverse=True
    )
    (images,) = (batch for _, batch in ImageLoader(files[:1], (32, 32, 3), batch_size=1))
    model = bc.load_model(run_folder / "model" / "model.keras")
    table = bc.summarize(bc.analyze(model, images, num_samples=20))
    for column in ("p_ring_mean", "p_disc_upper", "mutual_information"):
        assert dicom[column] == pytest.approx(table[column][0], rel=1e-3, abs=1e-6)


def test_a_figure_has_a_row_for_each_target(
    run_folder: Path, picture: Path, tmp_path: Path
) -> None:
    from bayescam.workflows.explain import explain_images

    heights = []
    for targets in (None, ["disc", "ring", "predictive_entropy"]):
        out = tmp_path / str(len(heights))
        found = explain_images(
            run_folder, [picture], out=out, num_samples=3, targets=targets, progress=False
        )
        with Image.open(out / found["figure"][0]) as figure:
            heights.append(figure.size[1])
    row = heights[0] - 3.0 * 130
    assert heights[1] == pytest.approx(heights[0] + 2 * row, abs=3)


def test_the_panels_of_an_uncertainty_do_not_claim_a_distribution_of_its_map(
    picture: Path,
) -> None:
    """It is one map of all draws: what varies over them is what each adds."""
    from bayescam.workflows.explain import _draw_batch, _summarize_batch

    rng = np.random.default_rng(0)
    maps = rng.normal(1.0, 0.3, (20, 1, 2, 4, 4))
    targets = [Target.of_class(0, "a"), Target("mutual_information", (), "mutual_information")]
    table = pd.DataFrame({"path": [str(picture)], "figure": ["one.png"]})
    draws = CamDraws(rng.normal(size=(20, 1, 2)), {"last": maps}, np.zeros((1, 3)))
    shown = [dict(enumerate(targets))]
    summaries = _summarize_batch(draws, shown)
    ((name, figure),) = _draw_batch(table, draws, summaries, shown, ["a", "b"])
    assert name == "one.png"
    first, second = (f"{maps[:, 0, t].mean(axis=0).max() / 2:.3g}" for t in range(2))
    _, *rows = figure.subfigs
    titles = [[ax.get_title() for ax in row.axes if ax.get_title()][2:] for row in rows]
    assert titles == [
        ["uncertainty of the map (sd)", f"P(map > {first})"],
        ["what each draw adds (sd)", f"share of draws that add > {second}"],
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "block9"], r"no layer 'block9'; its last layers with maps are .*block5_conv3"),
        (["--target", "mel"], r"`targets` must be classes .*\(disc, plain, ring\).* got 'mel'"),
        (["--target", "disc - mel"], "got 'disc - mel'"),
        (["--method", "gradcan"], "'gradcan' is not one of 'gradcam', 'cam'"),
        (["--method", "smoothgrad", "--layer", "block5_conv3"], "`target_layer` must be left out"),
        (["--method", "cam", "--layer", "block4_conv1"], '`method` "cam" needs maps'),
    ],
)
def test_a_wrong_layer_class_or_method_is_one_line(
    run_folder: Path,
    picture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    command = ["explain", str(run_folder), str(picture), *options, "--out", str(tmp_path / "x")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not list(tmp_path.glob("x*"))


def test_analyze_keeps_the_maps_of_a_method_and_its_targets(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["analyze", str(run_folder), "--num-samples", "3", "--split", "test"]
    command += ["--method", "gradcam++", "--target", "ring", "--target", "disc - ring"]
    assert main([*command, "--out", str(out)]) == 0
    assert "3 draws x 2 maps of" in capsys.readouterr().out
    stored = xr.open_zarr(out / "analysis.zarr")
    assert stored.attrs["method"] == "gradcam++"
    assert list(stored["target"].values) == ["ring", "disc - ring"]
    paths = pd.read_parquet(out / "records.parquet")["path"].tolist()
    (images,) = (batch for _, batch in ImageLoader(paths, (32, 32, 3), batch_size=len(paths)))
    expected = bc.analyze(
        bc.load_model(run_folder / "model" / "model.keras"),
        images,
        num_samples=3,
        targets=["ring", "disc - ring"],
        method="gradcam++",
    )
    scale = float(np.abs(expected["cam"]).max())
    np.testing.assert_allclose(stored["cam"] / scale, expected["cam"] / scale, atol=1e-4)


def test_another_method_does_not_carry_on_an_analysis(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bayescam.workflows.streaming._predictions", killed)
    first = AnalysisOptions(split="test", num_samples=2)
    with pytest.raises(KeyboardInterrupt):
        analyze_records(run_folder, out=tmp_path / "out", options=first, progress=False)
    second = AnalysisOptions(split="test", num_samples=2, method="layercam")
    with pytest.raises(InputError, match="method"):
        analyze_records(run_folder, out=tmp_path / "out", options=second, progress=False)
