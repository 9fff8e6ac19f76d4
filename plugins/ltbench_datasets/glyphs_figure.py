"""A picture of glyphs-lt for its documentation: ``python -m ltbench_datasets.glyphs_figure docs/glyphs-lt.png``."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ltbench.data.folds import FOLDS, fold_rule
from ltbench_datasets.glyph_drawing import font_path
from ltbench_datasets.glyph_letters import FAMILIES
from ltbench_datasets.glyphs import GlyphsLT

_FAMILIES_SHOWN = 4
_COLUMNS = 12
_ZOOM = 2
_GAP = 2
_FAMILY_GAP = 14
_LABEL_WIDTH = 160
_INK, _PAPER = 40, 255


def contact_sheet(dataset: GlyphsLT, path: Path) -> None:
    """Write a PNG of training images: four families with classes in every fold, one class of each fold a row.

    A row is as long as its class has images, up to 12.

    Raises:
        ValueError: no family has a class in every fold (the dataset has too few classes).
    """
    shown = _families_over_all_folds(dataset)[:_FAMILIES_SHOWN]
    if not shown:
        raise ValueError("no family of letters has a class in every fold: draw the figure from more classes")
    train = dataset.split("train")
    side = dataset.options.size * _ZOOM
    pitch = side + _GAP
    height = len(shown) * (len(FOLDS) * pitch + _FAMILY_GAP) - _FAMILY_GAP - _GAP
    sheet = Image.new("L", (_LABEL_WIDTH + _COLUMNS * pitch - _GAP, height), _PAPER)
    top = 0
    for family in shown:
        for fold, label in zip(FOLDS, family, strict=True):
            _write_label(
                sheet, (0, top + side // 2), dataset.class_names[label], fold, int(dataset.train_counts[label])
            )
            images = train.images[train.labels == label][:_COLUMNS, 0].numpy()
            for column, image in enumerate(images):
                zoomed = Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST)
                sheet.paste(zoomed, (_LABEL_WIDTH + column * pitch, top))
            top += pitch
        top += _FAMILY_GAP
    sheet.save(path, optimize=True)


def _families_over_all_folds(dataset: GlyphsLT) -> list[list[int]]:
    """For each such family, its most frequent class of each fold; the families whose classes lie far apart first."""
    folds = fold_rule("paper").assign(dataset.train_counts)
    found = []
    for family in FAMILIES:
        classes = [label for label, name in enumerate(dataset.class_names) if name[0] in family]
        by_fold = [[label for label in classes if folds[label] == fold] for fold in range(len(FOLDS))]
        if all(by_fold):
            found.append([max(labels, key=lambda label: int(dataset.train_counts[label])) for labels in by_fold])
    return sorted(found, key=lambda classes: -int(np.diff(classes).min()))


def _write_label(sheet: Image.Image, at: tuple[int, int], name: str, fold: str, count: int) -> None:
    """``at``: left edge and middle of the row."""
    pen = ImageDraw.Draw(sheet)
    letter, text = (ImageFont.truetype(str(font_path("DejaVuSans")), size) for size in (30, 13))
    pen.text((at[0] + 8, at[1]), name, fill=_INK, font=letter, anchor="lm")
    pen.text((at[0] + 60, at[1] - 9), fold, fill=_INK, font=text, anchor="lm")
    pen.text((at[0] + 60, at[1] + 9), f"{count} images", fill=_INK, font=text, anchor="lm")


if __name__ == "__main__":
    contact_sheet(GlyphsLT(), Path(sys.argv[1]))
