"""Data: readers to one records table, decoding, grouped splits, leak audit, phantoms."""

from __future__ import annotations

from bayescam.data.artefacts import ARTEFACTS, Artefact, PlantedImage, plant_artefact
from bayescam.data.audit import RecordsAudit, audit_records
from bayescam.data.augmentation import AUGMENTATIONS, Augmentation, augment_batch
from bayescam.data.chest_xray import read_chest_xray
from bayescam.data.covid_chestxray import read_covid_chestxray
from bayescam.data.dicom_header import read_source
from bayescam.data.dicom_records import read_dicom
from bayescam.data.duplicates import find_near_duplicates, hash_files
from bayescam.data.folders import read_image_folder, read_mura
from bayescam.data.ham10000 import read_ham10000
from bayescam.data.images import ImageError, load_image, load_images, load_mask, resize_image
from bayescam.data.loading import ImageLoader, SkippedImage, image_dataset
from bayescam.data.phantoms import write_phantoms
from bayescam.data.planting import PlantedBatch, choose_planted, planted_batches
from bayescam.data.records import RECORD_COLUMNS, SPLITS, check_records
from bayescam.data.registry import READERS, parse_source, read_records
from bayescam.data.sealing import open_path, seal_path
from bayescam.data.splits import complete_split, recut_validation, split_records
from bayescam.data.tables import read_chexpert, read_table

__all__ = [
    "ARTEFACTS",
    "AUGMENTATIONS",
    "READERS",
    "RECORD_COLUMNS",
    "SPLITS",
    "Artefact",
    "Augmentation",
    "ImageError",
    "ImageLoader",
    "PlantedBatch",
    "PlantedImage",
    "RecordsAudit",
    "SkippedImage",
    "audit_records",
    "augment_batch",
    "check_records",
    "choose_planted",
    "complete_split",
    "find_near_duplicates",
    "hash_files",
    "image_dataset",
    "load_image",
    "load_images",
    "load_mask",
    "open_path",
    "parse_source",
    "plant_artefact",
    "planted_batches",
    "read_chest_xray",
    "read_chexpert",
    "read_covid_chestxray",
    "read_dicom",
    "read_ham10000",
    "read_image_folder",
    "read_mura",
    "read_records",
    "read_source",
    "read_table",
    "recut_validation",
    "resize_image",
    "seal_path",
    "split_records",
    "write_phantoms",
]
