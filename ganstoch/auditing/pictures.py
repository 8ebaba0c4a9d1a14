"""PNG files of the images that a report shows."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ganstoch.auditing.inputs import Images

__all__ = ["png_pictures"]


def png_pictures(images: Images, ids: Sequence[int]) -> dict[str, bytes]:
    """PNG files of some images, by ``role/name``.

    Raises:
        UserError: if an image cannot be read.
    """
    several = torch.tensor(sorted(set(ids)), dtype=torch.int64)
    if len(several) == 0:
        return {}
    pictures = {}
    for name, pixels in zip(images.names(several), images.read(several), strict=True):
        shown = np.ascontiguousarray(pixels.permute(1, 2, 0).squeeze(-1).numpy())
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "PNG")
        pictures[f"{images.role}/{name}"] = buffer.getvalue()
    return pictures
