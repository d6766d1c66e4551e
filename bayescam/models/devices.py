"""The devices that models run on."""

from __future__ import annotations

import logging

import tensorflow as tf

__all__ = ["prepare_gpus"]


def prepare_gpus() -> int:
    """Makes every GPU take memory as it is needed, not all at once; returns how many there are.

    Models are made, adapted and loaded through functions that call this first, since TensorFlow
    fixes the choice when a GPU is first used. A GPU that is in use already stays as it is.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:
            logging.getLogger(__name__).info("%s is in use: %s", gpu.name, error)
    return len(gpus)
