"""The maps of a DICOM image as DICOM objects, put back on the grid of the image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bayescam import __version__
from bayescam.data import load_image, read_source
from bayescam.data.places import find_place, is_dicom
from bayescam.data.quiet_dicom import quiet_dicom
from bayescam.explain.resizing import resize_maps
from bayescam.report import (
    MapSummary,
    build_map_object,
    build_picture_object,
    faded_overlay,
    safe_file_name,
)
from bayescam.types import InputError
from bayescam.workflows.folders import write_atomically

__all__ = ["on_image_grid", "write_dicom_maps"]


def write_dicom_maps(
    folder: Path,
    path: str,
    summaries: Sequence[MapSummary],
    *,
    stem: str,
    method: str,
    key: str,
    keep_identifiers: bool = False,
) -> list[Path]:
    """Write two objects for each map of a DICOM image and return their paths.

    `<stem>-<target>-map.dcm` has the values, as a Parametric Map or a Segmentation, and
    `<stem>-<target>-picture.dcm` shows `relu(mean map)` on the image, as a Secondary Capture. Of a
    map without positive evidence, which has nothing to show, there are only the values. An image of
    another format has none.

    Args:
        folder: where to write.
        path: of the image, as `load_image` takes it.
        summaries: maps at their own resolution.
        stem: what their names begin with.
        method: how the maps were made.
        key: of the model and the draws; equal keys give objects of equal unique ids.
        keep_identifiers: file the objects under the patient of the image.

    Raises:
        InputError: the image lacks what an object must say of it.
    """
    if not is_dicom(find_place(path).file):
        return []
    written = []
    with quiet_dicom():
        source = read_source(path, keep_identifiers=keep_identifiers)
        picture = load_image(path)
        for maps in summaries:
            placed = on_image_grid(maps, source.shape)
            name = f"{stem}-{safe_file_name(maps.target)}"
            key_of_map = f"{key} {method} {maps.target}"
            objects = {f"{name}-map.dcm": partial(build_map_object, source, placed, method=method)}
            if maps.has_evidence:
                overlay = faded_overlay(picture, placed.mean)
                objects[f"{name}-picture.dcm"] = partial(
                    build_picture_object, source, overlay, title=f"relu(mean map), {maps.target}"
                )
            for file_name, build in objects.items():
                try:
                    built = build(version=__version__, key=key_of_map)
                except (ValueError, TypeError) as error:  # a header that DICOM does not allow
                    raise InputError(
                        "no object can be made of this DICOM image: its header holds a value that "
                        f"is not allowed ({type(error).__name__})"
                    ) from error
                save = partial(built.save_as, enforce_file_format=True)
                write_atomically(folder / file_name, save)
                written.append(folder / file_name)
    return written


def on_image_grid(maps: MapSummary, shape: tuple[int, int]) -> MapSummary:
    """Return the maps at the rows and columns of their image, float32.

    A model sees the whole image squeezed to its input size, whatever the aspect (`load_images`),
    and the cells of a map cover that input from edge to edge. So the way back is one resizing of
    rows and columns, each by its own factor, with centres of cells where they are.
    """
    mean, sd, relevant = (
        resize_maps(part, shape) for part in (maps.mean, maps.sd, maps.p_relevant)
    )
    return MapSummary(
        maps.target, mean, sd, relevant, maps.threshold, has_evidence=maps.has_evidence
    )
