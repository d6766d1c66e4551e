from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bayescam.types import InputError
from bayescam.workflows.folders import (
    data_fingerprint,
    new_manifest,
    package_versions,
    read_manifest,
    work_folder,
    write_atomically,
    write_json,
    write_skipped,
    write_table,
)


def manifest(seed: int = 0, **settings: object) -> dict:
    return new_manifest("analysis", seed=seed, fingerprint="f", settings=settings)


def break_off(out: Path, content: dict) -> None:
    with work_folder(out, content) as folder:
        (folder / "half.txt").write_text("half")
        raise OSError("disk")


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with work_folder(out, manifest()) as folder:
        assert folder == tmp_path / "deep" / "out.partial"
        assert not out.exists()
        (folder / "a.txt").write_text("a")
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "manifest.json"]
    assert not folder.exists()
    assert read_manifest(out, "analysis") == manifest()


def test_a_failed_folder_is_carried_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OSError, match="disk"):
        break_off(out, manifest(a=(1, 2)))
    assert not out.exists()
    with work_folder(out, manifest(a=[1, 2])) as folder:
        assert (folder / "half.txt").read_text() == "half"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (manifest(seed=1, a=1), "begun with seed 0, now it is 1"),
        (manifest(a=2), "begun with a 1, now it is 2"),
        (manifest(), "begun with a 1, now it is None"),
        (manifest(a=1) | {"data_fingerprint": "g"}, "data_fingerprint 'f', now it is 'g'"),
    ],
)
def test_other_work_does_not_carry_on(tmp_path: Path, second: dict, message: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(OSError, match="disk"), work_folder(out, manifest(a=1)):
        raise OSError("disk")
    with pytest.raises(InputError, match=message), work_folder(out, second):
        pass


def test_another_version_does_carry_on(tmp_path: Path) -> None:
    old = manifest() | {"versions": {"python": "3.11.0"}}
    with pytest.raises(OSError, match="disk"), work_folder(tmp_path / "out", old):
        raise OSError("disk")
    with work_folder(tmp_path / "out", manifest()):
        pass
    assert (tmp_path / "out").exists()


def test_bad_input_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bad"), work_folder(tmp_path / "out", manifest()):
        raise InputError("bad")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with (
        pytest.raises(InputError, match="never overwritten"),
        work_folder(tmp_path / "out", manifest()),
    ):
        pass
    (tmp_path / "b.partial").mkdir()
    (tmp_path / "b.partial" / "mine").touch()
    with (
        pytest.raises(InputError, match=r"no manifest\.json"),
        work_folder(tmp_path / "b", manifest()),
    ):
        pass
    (tmp_path / "empty").mkdir()
    with work_folder(tmp_path / "empty", manifest()):
        pass
    assert (tmp_path / "empty" / "manifest.json").exists()


def test_reading_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder; expected a bayescam run folder"):
        read_manifest(tmp_path / "none", "run")
    with pytest.raises(OSError, match="disk"), work_folder(tmp_path / "out", manifest()):
        raise OSError("disk")
    with pytest.raises(InputError, match="was not finished: run its command again"):
        read_manifest(tmp_path / "out", "analysis")
    with work_folder(tmp_path / "out", manifest()):
        pass
    with pytest.raises(InputError, match="is a bayescam analysis folder; expected run"):
        read_manifest(tmp_path / "out", "run")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})

    def fail(file: Path) -> None:
        file.write_text("half")
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_atomically(path, fail)
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_tables_round_trip(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1, 2], "b": pd.Series(["x", None], dtype="str")})
    write_table(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)
    write_skipped(tmp_path, [(3, "a, b.png", 'not "an" image')])
    rows = pd.read_csv(tmp_path / "skipped.csv").to_dict("records")
    assert rows == [{"path": "a, b.png", "reason": 'not "an" image'}]


def test_the_fingerprint_sees_what_decides(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"abc")
    records = pd.DataFrame(
        {"image_id": ["a", "b"], "path": [str(file), "none"], "label": ["x", "y"], "split": "val"}
    )
    seen = {data_fingerprint(records), data_fingerprint(records.copy())}
    assert len(seen) == 1
    seen.add(data_fingerprint(records.assign(label=["x", "x"])))
    seen.add(data_fingerprint(records.assign(split="test")))
    seen.add(data_fingerprint(records[::-1]))
    file.write_bytes(b"abcd")
    seen.add(data_fingerprint(records))
    assert len(seen) == 5


def test_versions_name_what_decides_the_numbers() -> None:
    versions = package_versions()
    assert versions["tensorflow"].startswith("2.")
    assert set(versions) >= {"python", "bayescam", "tf_keras", "tensorflow-probability", "numpy"}
