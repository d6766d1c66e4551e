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
    from bayescam.report.checklist import ChecklistRow, render_checklist
    from bayescam.report.comparison import draw_posterior_comparison
    from bayescam.report.confusion import draw_confusion, draw_confusion_intervals
    from bayescam.report.convergence import draw_convergence
    from bayescam.report.curves import draw_bin_counts, draw_entropy_histograms, draw_reliability
    from bayescam.report.density import draw_class_densities, unit_interval_density
    from bayescam.report.dicom_objects import build_map_object, build_picture_object
    from bayescam.report.export import FigureFormat, save_figure
    from bayescam.report.file_names import safe_file_name
    from bayescam.report.maps import MapMode, draw_map_panels, scale_map, upsample_map
    from bayescam.report.overlays import (
        color_overlay,
        draw_overlays,
        faded_overlay,
        overlay_figure,
    )
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
    from bayescam.report.shortcut import (
        ShortcutExamples,
        draw_shortcut_example,
        draw_shortcut_scores,
        shortcut_figure,
    )
    from bayescam.report.strips import draw_map_strip
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
    "ChecklistRow",
    "FigureFormat",
    "MapContrast",
    "MapMode",
    "MapSummary",
    "ReportFigure",
    "ReportPage",
    "ShortcutExamples",
    "build_map_object",
    "build_picture_object",
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
    "draw_confusion_intervals",
    "draw_convergence",
    "draw_entropy_histograms",
    "draw_map_panels",
    "draw_map_strip",
    "draw_missed_silently",
    "draw_overlays",
    "draw_posterior_comparison",
    "draw_reliability",
    "draw_ridges",
    "draw_risk_coverage",
    "draw_set_sizes",
    "draw_shortcut_example",
    "draw_shortcut_scores",
    "faded_overlay",
    "figure_style",
    "format_interval",
    "format_number",
    "interval_table",
    "is_path",
    "mask_outline",
    "merge_intervals",
    "overlay_figure",
    "page_files",
    "render_checklist",
    "safe_file_name",
    "save_figure",
    "scale_map",
    "shortcut_figure",
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
        f"{__name__}.checklist": ("ChecklistRow", "render_checklist"),
        f"{__name__}.comparison": ("draw_posterior_comparison",),
        f"{__name__}.confusion": ("draw_confusion", "draw_confusion_intervals"),
        f"{__name__}.convergence": ("draw_convergence",),
        f"{__name__}.curves": ("draw_bin_counts", "draw_entropy_histograms", "draw_reliability"),
        f"{__name__}.density": ("draw_class_densities", "unit_interval_density"),
        f"{__name__}.dicom_objects": ("build_map_object", "build_picture_object"),
        f"{__name__}.export": ("FigureFormat", "save_figure"),
        f"{__name__}.file_names": ("safe_file_name",),
        f"{__name__}.maps": ("MapMode", "draw_map_panels", "scale_map", "upsample_map"),
        f"{__name__}.overlays": (
            "color_overlay",
            "draw_overlays",
            "faded_overlay",
            "overlay_figure",
        ),
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
        f"{__name__}.shortcut": (
            "ShortcutExamples",
            "draw_shortcut_example",
            "draw_shortcut_scores",
            "shortcut_figure",
        ),
        f"{__name__}.strips": ("draw_map_strip",),
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
