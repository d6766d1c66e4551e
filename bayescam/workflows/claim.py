"""CLAIM 2024, item by item: section, topic in our own short words, and what answers it.

Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update",
Radiology: Artificial Intelligence 6(4), e240300. The wording of the items is theirs to read.
"""

from __future__ import annotations

from bayescam.workflows import claim_methods as methods
from bayescam.workflows import claim_results as results
from bayescam.workflows.claim_facts import ChecklistItem
from bayescam.workflows.claim_methods import not_assessed

__all__ = ["CLAIM_ITEMS"]

_DESIGN, _DATA = "Methods: study design", "Methods: data"
_REFERENCE, _PARTITIONS = "Methods: reference standard", "Methods: data partitions"
_MODEL, _TRAINING, _EVALUATION = "Methods: model", "Methods: training", "Methods: evaluation"
_PERFORMANCE, _OTHER = "Results: model performance", "Other information"

CLAIM_ITEMS = tuple(
    ChecklistItem(*item)
    for item in (
        (1, "Title and abstract", "AI named, with its category", methods.category_of_ai),
        (2, "Title and abstract", "Summary of the study", not_assessed),
        (3, "Introduction", "Background and intended role", not_assessed),
        (4, "Introduction", "Aims and hypotheses", not_assessed),
        (5, _DESIGN, "Prospective or retrospective", not_assessed),
        (6, _DESIGN, "Goal of the study", not_assessed),
        (7, _DATA, "Where the data come from", methods.data_sources),
        (8, _DATA, "Who is included and excluded", methods.exclusions),
        (9, _DATA, "Preprocessing", methods.preprocessing),
        (10, _DATA, "Choice of subsets", methods.subsets),
        (11, _DATA, "De-identification", not_assessed),
        (12, _DATA, "Missing data", methods.missing_data),
        (13, _DATA, "How images were acquired", not_assessed),
        (14, _REFERENCE, "How the reference standard was obtained", not_assessed),
        (15, _REFERENCE, "Why this reference standard", not_assessed),
        (16, _REFERENCE, "Who annotated", not_assessed),
        (17, _REFERENCE, "Annotation of the test set", not_assessed),
        (18, _REFERENCE, "Agreement between and within raters", not_assessed),
        (19, _PARTITIONS, "Assignment to partitions", methods.assignment),
        (20, _PARTITIONS, "Level of disjointness", methods.disjointness),
        (21, "Methods: testing data", "Intended sample size", not_assessed),
        (22, _MODEL, "Description of the model", methods.model_description),
        (23, _MODEL, "Software and versions", methods.software),
        (24, _MODEL, "Initial weights", methods.initialization),
        (25, _TRAINING, "Training approach", methods.training_approach),
        (26, _TRAINING, "Choice of the final model", methods.model_selection),
        (27, _TRAINING, "Ensembling", methods.ensembling),
        (28, _EVALUATION, "Performance metrics", results.metrics),
        (29, _EVALUATION, "Significance and uncertainty", results.statistics),
        (30, _EVALUATION, "Robustness and sensitivity", results.robustness),
        (31, _EVALUATION, "Explainability", methods.explainability),
        (32, _EVALUATION, "Test on internal data", results.internal_testing),
        (33, _EVALUATION, "Test on external data", results.external_testing),
        (34, _EVALUATION, "Trial registration", not_assessed),
        (35, "Results: data", "Numbers included and excluded", results.numbers_included),
        (36, "Results: data", "Characteristics by partition", results.characteristics),
        (37, _PERFORMANCE, "Performance with uncertainty", results.performance),
        (38, _PERFORMANCE, "Diagnostic performance", results.diagnostic_performance),
        (39, _PERFORMANCE, "Analysis of failures", results.failures),
        (40, "Discussion", "Limitations", results.limitations),
        (41, "Discussion", "Implications for practice", not_assessed),
        (42, _OTHER, "Protocol and technical details", results.protocol),
        (43, _OTHER, "Availability of software, model, data", results.availability),
        (44, _OTHER, "Funding and role of funders", not_assessed),
    )
)
