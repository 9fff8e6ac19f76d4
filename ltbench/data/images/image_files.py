"""Images as they are stored: decoded, cut and resized one by one, answered as whole batches."""

import hashlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from itertools import chain
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from simplejpeg import decode_jpeg, decode_jpeg_header
from torch import Tensor
from torch.nn import functional as F

from ltbench.common.threads import map_parts
from ltbench.data.augmentation.cuts import CentreCut, Cut
from ltbench.data.base import Batch
from ltbench.data.images.contents import Contents
from ltbench.data.images.image_bytes import MAX_PIXELS, BadImage, read_bytes, unreadable
from ltbench.data.images.image_list import ImageList
from ltbench.errors import DataError

_JPEG = b"\xff\xd8"
"""How a JPEG file begins."""

_TOGETHER = 8
"""Images that one thread reads, and then cuts, in a row. A worker process has one thread."""

_TOO_LARGE = f"more than the {MAX_PIXELS // 10**6} megapixels that are read"

_LARGE = 80_000
"""Mean pixels of a stored image from which several threads are used: with smaller ones they wait for Python's lock."""


# Pillow warns of large pictures before their size can be asked for; what is too large for us is a bad image.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def read_image(path: str, upright: bool = False) -> Tensor:
    """A file as uint8[3, H, W], grey levels and CMYK turned into RGB, any transparency dropped.

    JPEG goes through libjpeg-turbo (simplejpeg); what that refuses, and every other format, through Pillow. Of 16 bits the
    upper 8 are taken, of an animation the first picture. Errors inside JPEG data that leave it complete show as spoilt
    pixels.

    Args:
        upright: turn it as its EXIF orientation says.

    Raises:
        BadImage: it is missing, no regular file, empty, truncated, of no known format, or larger than ``MAX_PIXELS``.
    """
    return decoded(read_bytes(path)[0], upright)


def decoded(content: bytes, upright: bool = False) -> Tensor:
    """The image in the content of a file, as :func:`read_image` gives it, and raises BadImage; its size is checked first."""
    if not content:
        raise BadImage("the file is empty")
    if content.startswith(_JPEG) and not upright:
        try:
            height, width, _, _ = decode_jpeg_header(content)
            _check_size(width, height)
            return torch.from_numpy(decode_jpeg(content)).permute(2, 0, 1)
        except ValueError:
            pass
    return _by_pillow(content, upright)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width:,} x {height:,} pixels: {_TOO_LARGE}")


def _by_pillow(content: bytes, upright: bool) -> Tensor:
    try:
        with Image.open(BytesIO(content)) as image:
            _check_size(*image.size)
            turned = ImageOps.exif_transpose(image) if upright else image
            if turned.mode.startswith("I"):
                turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
            return torch.from_numpy(np.array(turned.convert("RGB"))).permute(2, 0, 1)
    except UnidentifiedImageError as error:
        raise BadImage("not an image") from error
    except Image.DecompressionBombError as error:
        raise BadImage(_TOO_LARGE) from error
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # each format's reader has its own ways to stumble over damaged bytes
        text = " ".join(str(error).split()) or type(error).__name__
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
        self._expected: Contents | None = None

    def expect(self, contents: Contents) -> None:
        """From now on a file that holds anything else is an error: what it held is known, and in every key."""
        self._expected = contents

    def image(self, index: int) -> Tensor:
        path = bytes(self._files[index]).decode("utf-8", "surrogateescape")
        try:
            content, found = read_bytes(path)
            if self._expected is not None and tuple(self._expected.stamps[index]) != found:
                self._compare(index, path, content)
            return decoded(content, self._upright)
        except BadImage as error:
            raise unreadable(path, error) from error

    def _compare(self, index: int, path: str, content: bytes) -> None:
        """Another stamp may be a touch or a link; other bytes are other data than the run began with."""
        if self._expected is not None and hashlib.sha256(content).digest() != self._expected.digests[index].tobytes():
            raise DataError(f"image {path} was changed after the run began. Leave the images alone and run it again.")
