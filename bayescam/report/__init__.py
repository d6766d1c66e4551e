"""Figures, tables and the HTML report, from values alone.

Names are loaded on first use: `import bayescam.report` does not load matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayescam.lazy import lazy_names

if TYPE_CHECKING:
    from bayescam.report.case import MapSummary, build_case, encode_figure
    from bayescam.report.curves import (
        draw_bin_counts,
        draw_confusion,
        draw_entropy_histograms,
        draw_reliability,
    )
    from bayescam.report.density import draw_class_densities, unit_interval_density
    from bayescam.report.dicom_objects import build_map_object, build_picture_object
    from bayescam.report.file_names import safe_file_name
    from bayescam.report.html import CaseMaps, CaseReport, ReportFigure, render_report
    from bayescam.report.maps import MapMode, draw_map_panels, scale_map, upsample_map
    from bayescam.report.overlays import color_overlay, draw_overlays, faded_overlay
    from bayescam.report.referral import draw_missed_silently, draw_risk_coverage
    from bayescam.report.ridges import draw_ridges
    from bayescam.report.sets import draw_class_coverage, draw_set_sizes
    from bayescam.report.shortcut import ShortcutExamples, draw_shortcut, draw_shortcut_scores
    from bayescam.report.style import class_colors, figure_style
    from bayescam.report.tables import (
        format_interval,
        format_number,
        interval_table,
        merge_intervals,
        to_markdown,
        to_text,
    )

__all__ = [
    "CaseMaps",
    "CaseReport",
    "MapMode",
    "MapSummary",
    "ReportFigure",
    "ShortcutExamples",
    "build_case",
    "build_map_object",
    "build_picture_object",
    "class_colors",
    "color_overlay",
    "draw_bin_counts",
    "draw_class_coverage",
    "draw_class_densities",
    "draw_confusion",
    "draw_entropy_histograms",
    "draw_map_panels",
    "draw_missed_silently",
    "draw_overlays",
    "draw_reliability",
    "draw_ridges",
    "draw_risk_coverage",
    "draw_set_sizes",
    "draw_shortcut",
    "draw_shortcut_scores",
    "encode_figure",
    "faded_overlay",
    "figure_style",
    "format_interval",
    "format_number",
    "interval_table",
    "merge_intervals",
    "render_report",
    "safe_file_name",
    "scale_map",
    "to_markdown",
    "to_text",
    "unit_interval_density",
    "upsample_map",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        f"{__name__}.case": ("MapSummary", "build_case", "encode_figure"),
        f"{__name__}.curves": (
            "draw_bin_counts",
            "draw_confusion",
            "draw_entropy_histograms",
            "draw_reliability",
        ),
        f"{__name__}.density": ("draw_class_densities", "unit_interval_density"),
        f"{__name__}.dicom_objects": ("build_map_object", "build_picture_object"),
        f"{__name__}.file_names": ("safe_file_name",),
        f"{__name__}.html": ("CaseMaps", "CaseReport", "ReportFigure", "render_report"),
        f"{__name__}.maps": ("MapMode", "draw_map_panels", "scale_map", "upsample_map"),
        f"{__name__}.overlays": ("color_overlay", "draw_overlays", "faded_overlay"),
        f"{__name__}.referral": ("draw_missed_silently", "draw_risk_coverage"),
        f"{__name__}.ridges": ("draw_ridges",),
        f"{__name__}.sets": ("draw_class_coverage", "draw_set_sizes"),
        f"{__name__}.shortcut": ("ShortcutExamples", "draw_shortcut", "draw_shortcut_scores"),
        f"{__name__}.style": ("class_colors", "figure_style"),
        f"{__name__}.tables": (
            "format_interval",
            "format_number",
            "interval_table",
            "merge_intervals",
            "to_markdown",
            "to_text",
        ),
    },
)
