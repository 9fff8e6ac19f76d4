"""Images as they are stored: decoded, cut and resized one by one, answered as whole batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from itertools import chain
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from simplejpeg import decode_jpeg
from torch import Tensor
from torch.nn import functional as F

from ltbench.data.base import Batch
from ltbench.data.cuts import CentreCut, Cut
from ltbench.data.image_list import ImageList
from ltbench.errors import DataError
from ltbench.threads import map_parts

_JPEG = b"\xff\xd8"
"""How a JPEG file begins."""

_TOGETHER = 8
"""Images that one thread reads, and then cuts, in a row. A worker process has one thread."""

_LARGE = 80_000
"""Mean pixels of a stored image from which several threads are used: with smaller ones they wait for Python's lock."""


class BadImage(Exception):
    """An image that cannot be had; the message says why, without its path."""


def read_image(path: str, upright: bool = False) -> Tensor:
    """A file as uint8[3, H, W], grey levels and CMYK turned into RGB, any transparency dropped.

    JPEG goes through libjpeg-turbo (simplejpeg); what that refuses, and every other format, through Pillow. Of 16 bits the
    upper 8 are taken, of an animation the first picture. Errors inside JPEG data that leave it complete show as spoilt
    pixels.

    Args:
        upright: turn it as its EXIF orientation says.

    Raises:
        BadImage: it is missing, empty, truncated or of no known format.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (a Path object costs as much as opening a small file)
            content = file.read()
    except OSError as error:
        raise BadImage("no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)) from error
    if not content:
        raise BadImage("the file is empty")
    if content.startswith(_JPEG) and not upright:
        try:
            return torch.from_numpy(decode_jpeg(content)).permute(2, 0, 1)
        except ValueError:
            pass
    return _by_pillow(content, upright)


def _by_pillow(content: bytes, upright: bool) -> Tensor:
    try:
        with Image.open(BytesIO(content)) as image:
            turned = ImageOps.exif_transpose(image) if upright else image
            if turned.mode.startswith("I"):
                turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
            return torch.from_numpy(np.array(turned.convert("RGB"))).permute(2, 0, 1)
    except UnidentifiedImageError as error:
        raise BadImage("not an image") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        text = str(error)
        raise BadImage("truncated" if "truncated" in text.lower() else f"cannot be decoded: {text}") from error


class StoredSplit(ABC):
    """A :class:`ltbench.data.base.CutSplit`: subclasses give single images.

    Args:
        labels: int64[N].
        size: side of the images of a batch that is asked for without a cut.
    """

    def __init__(self, labels: np.ndarray, size: int) -> None:
        self.labels = torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))
        self.size = size

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """uint8[3, H, W] of one sample. Raises DataError when it cannot be read."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return self.cut(indices, CentreCut(self.size))

    def cut(self, indices: Sequence[int], cut: Cut) -> Batch:
        parts = [slice(first, first + _TOGETHER) for first in range(0, len(indices), _TOGETHER)]

        def read(part: slice) -> list[Tensor]:
            return [self.image(index) for index in indices[part]]

        images = read(slice(_TOGETHER))
        large = sum(image[0].numel() for image in images) >= _LARGE * len(images)
        each: Callable[..., Iterable[Any]] = map_parts if large else map
        images += chain(*each(read, parts[1:]))
        boxes = cut.boxes(torch.tensor([image.shape[1:] for image in images])).round().long().tolist()
        batch = torch.empty((len(images), 3, cut.size, cut.size), dtype=torch.uint8, memory_format=torch.channels_last)

        def fill(part: slice) -> None:
            for place, image, box in zip(batch[part], images[part], boxes[part], strict=True):
                place.copy_(_resized(image, box, cut.size))

        list(each(fill, parts))
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return Batch(batch, self.labels[chosen], chosen)


def _resized(image: Tensor, box: Sequence[int], size: int) -> Tensor:
    """The box (top, left, height, width) of uint8[3, H, W], resized: uint8[3, size, size]."""
    top, left, height, width = box
    part = image[None, :, top : top + height, left : left + width]
    if (height, width) == (size, size):
        return part[0]
    # As it was decoded, pixel by pixel in memory; of a cut through it torch no longer sees that, and takes twice the time.
    part = part.contiguous(memory_format=torch.channels_last)
    return F.interpolate(part, (size, size), mode="bilinear", antialias=True)[0]


class ImageFileSplit(StoredSplit):
    """The original files.

    Args:
        upright: see :func:`read_image`.
    """

    def __init__(self, images: ImageList, size: int, upright: bool = False) -> None:
        super().__init__(images.labels, size)
        # One block of bytes: a list of as many objects would be copied into every worker process bit by bit.
        self._files = np.array([file.encode("utf-8", "surrogateescape") for file in images.files], dtype=np.bytes_)
        self._upright = upright

    def image(self, index: int) -> Tensor:
        path = bytes(self._files[index]).decode("utf-8", "surrogateescape")
        try:
            return read_image(path, self._upright)
        except BadImage as error:
            raise DataError(
                f"image {path}: {error}. 'ltbench data check' lists all such images; --on-bad-image skip leaves them out."
            ) from error
