"""Small reports of synthetic cases, for the tests of the page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bayescam.report import (
    CaseList,
    CaseReport,
    MapContrast,
    MapSummary,
    ReportFigure,
    ReportPage,
    case_content,
    case_row,
    case_script,
    page_files,
)

NAMES = ("bkl", "mel", "nv")
EVIL = (
    '<script>alert("1")</script><img src=x onerror=alert(2)>',
    "=cmd()",
    "'\"`&amp;</script><!--",
    "../../etc/passwd",
    "a\u202egpj.exe\u2066b",
    "x" * 10_000,
)


def make_case(image_id: str = "a", *, seed: int = 0, **options) -> CaseReport:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([1.0, 5.0, 2.0], size=40)
    cams = rng.normal(size=(40, 2, 3, 4))
    values = {
        "probs": probs,
        "class_names": NAMES,
        "size": (60, 80),
        "predictive_entropy": 1.0 - seed / 100,
        "expected_entropy": 0.6,
        "mutual_information": 0.2 + seed / 100,
        "maps": tuple(
            MapSummary(name, cam.mean(0), cam.std(0), (cam > 0.1).mean(0), 0.1, draws=cam)
            for name, cam in zip(("mel", "nv"), cams.swapaxes(0, 1), strict=True)
        ),
        "contrast": MapContrast("mel - nv", (cams[:, 0] - cams[:, 1]).mean(0)),
        "outline": (np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]),),
        "picture": f"images/{seed}.jpg",
        "thumbnail": f"thumbnails/{seed}.jpg",
    }
    return CaseReport(image_id=image_id, **(values | options))


def make_page(cases: list[CaseReport], **options) -> ReportPage:
    values = {
        "title": "t",
        "rows": [{**case_row(case), "file": number} for number, case in enumerate(cases)],
        "class_names": NAMES,
        "num_images": len(cases),
        "num_samples": 40,
        "detail_names": list(cases[0].details) if cases else [],
    }
    return ReportPage(**(values | options))


def write_report(root: Path, cases: list[CaseReport], **options) -> Path:
    """The folder of a report with pictures of plain colour."""
    for number, case in enumerate(cases):
        for name in (case.picture, case.thumbnail):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            packed = io.BytesIO()
            Image.new("RGB", case.size[::-1], (200, 150, 130)).save(packed, "JPEG")
            (root / name).write_bytes(packed.getvalue())
        (root / "cases").mkdir(exist_ok=True)
        script = case_script(number, case_content(case))
        (root / "cases" / f"{number}.js").write_text(script)
    for name, text in page_files(make_page(cases, **options)).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root / "index.html"


def evil_page(root: Path) -> Path:
    """A report with hostile text wherever text from data can stand."""
    cases = [
        make_case(
            text,
            seed=seed,
            class_names=(EVIL[0], text, "nv"),
            label=text,
            details={"site": text.replace("/", "")},
            decisions=(text,),
        )
        for seed, text in enumerate(EVIL)
    ]
    (root / "figures").mkdir()
    Image.new("RGB", (2, 2)).save(root / "figures" / "x.png")
    return write_report(
        root,
        cases,
        class_names=(EVIL[0], EVIL[4], "nv"),
        lists=[CaseList("Most uncertain", "Largest entropy.", tuple(range(len(cases))))],
        tables={text: pd.DataFrame({text: [text]}) for text in EVIL},
        figures=[ReportFigure(EVIL[0], EVIL[0], "figures/x.png")],
        card={text: {text: text} for text in EVIL},
        audit=EVIL,
        facts={text: text for text in EVIL},
        notes=EVIL,
        skipped=[(text, text) for text in EVIL],
    )
