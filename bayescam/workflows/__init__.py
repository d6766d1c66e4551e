"""The verbs that join the rooms and own folders on disk: fit, analyze, evaluate, report.

Names are loaded on first use: the command line stays quick, and what needs no TensorFlow
(audit, evaluate, report) loads none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayescam.lazy import lazy_names

if TYPE_CHECKING:
    from bayescam.workflows.analysis import analyze, summarize
    from bayescam.workflows.arviz_groups import to_arviz
    from bayescam.workflows.checklist import checklist_folder
    from bayescam.workflows.config import TrainConfig
    from bayescam.workflows.evaluate import evaluate_folder
    from bayescam.workflows.exact import analyze_exactly
    from bayescam.workflows.report import report_folder
    from bayescam.workflows.streaming import analyze_records
    from bayescam.workflows.train import fit

__all__ = [
    "TrainConfig",
    "analyze",
    "analyze_exactly",
    "analyze_records",
    "checklist_folder",
    "evaluate_folder",
    "fit",
    "report_folder",
    "summarize",
    "to_arviz",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bayescam.workflows.analysis": ("analyze", "summarize"),
        "bayescam.workflows.checklist": ("checklist_folder",),
        "bayescam.workflows.arviz_groups": ("to_arviz",),
        "bayescam.workflows.config": ("TrainConfig",),
        "bayescam.workflows.evaluate": ("evaluate_folder",),
        "bayescam.workflows.exact": ("analyze_exactly",),
        "bayescam.workflows.report": ("report_folder",),
        "bayescam.workflows.streaming": ("analyze_records",),
        "bayescam.workflows.train": ("fit",),
    },
)
