"""Figures, tables and the HTML report, from values alone.

Names are loaded on first use: `import bayescam.report` does not load matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayescam.lazy import lazy_names

if TYPE_CHECKING:
    from bayescam.report.case import (
        CaseReport,
        MapContrast,
        MapSummary,
        case_content,
        case_row,
        mask_outline,
    )
    from bayescam.report.curves import (
        draw_bin_counts,
        draw_confusion,
        draw_entropy_histograms,
        draw_reliability,
    )
    from bayescam.report.density import draw_class_densities, unit_interval_density
    from bayescam.report.maps import MapMode, draw_map_panels, scale_map, upsample_map
    from bayescam.report.overlays import color_overlay, draw_overlays
    from bayescam.report.page import (
        CaseList,
        ReportFigure,
        ReportPage,
        case_script,
        page_files,
        single_file,
    )
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
    from bayescam.report.wording import describe_draws, is_path, shown_text

__all__ = [
    "CaseList",
    "CaseReport",
    "MapContrast",
    "MapMode",
    "MapSummary",
    "ReportFigure",
    "ReportPage",
    "ShortcutExamples",
    "case_content",
    "case_row",
    "case_script",
    "class_colors",
    "color_overlay",
    "describe_draws",
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
    "figure_style",
    "format_interval",
    "format_number",
    "interval_table",
    "is_path",
    "mask_outline",
    "merge_intervals",
    "page_files",
    "scale_map",
    "shown_text",
    "single_file",
    "to_markdown",
    "to_text",
    "unit_interval_density",
    "upsample_map",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        f"{__name__}.case": (
            "CaseReport",
            "MapContrast",
            "MapSummary",
            "case_content",
            "case_row",
            "mask_outline",
        ),
        f"{__name__}.curves": (
            "draw_bin_counts",
            "draw_confusion",
            "draw_entropy_histograms",
            "draw_reliability",
        ),
        f"{__name__}.density": ("draw_class_densities", "unit_interval_density"),
        f"{__name__}.maps": ("MapMode", "draw_map_panels", "scale_map", "upsample_map"),
        f"{__name__}.overlays": ("color_overlay", "draw_overlays"),
        f"{__name__}.page": (
            "CaseList",
            "ReportFigure",
            "ReportPage",
            "case_script",
            "page_files",
            "single_file",
        ),
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
        f"{__name__}.wording": ("describe_draws", "is_path", "shown_text"),
    },
)
