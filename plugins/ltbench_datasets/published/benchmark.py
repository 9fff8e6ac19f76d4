"""The shipped benchmarks of image files: names of their lists, spellings of their paths, where images lie and come from.

No torch. Any published variant of a list serves any layout of the images: both are led back to a category and a file name.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageSource:
    """Images that lie together.

    Attributes:
        prefix: begins the canonical names of its images.
        layouts: folders of a category's images below the root; the first is where they are expected when none is there.
            ``{category}`` stands for its name, ``{initial}`` for the name's first letter, ``{nested}`` for the name with
            slashes for hyphens.
        download: the official file, and the page it is on.
        flat_names: file names are distinct without the category, and lists may leave it out.
    """

    prefix: str
    layouts: tuple[str, ...]
    download: str
    flat_names: bool = False


@dataclass(frozen=True)
class Benchmark:
    """What is known about a published dataset.

    Attributes:
        name: of the dataset.
        lists: list -> file name; a list is named as the split that it was published for.
        list_of_split: split of the dataset -> list that its images are in.
        list_folder: folder that public repositories keep the lists in.
        sources: list -> where its images lie.
        anchors: folder names that end what precedes the category in a path.
        separator: joins the folders of a nested category.
        roots: folders below the data root that may hold what the layouts name.
    """

    name: str
    lists: Mapping[str, str]
    list_of_split: Mapping[str, str]
    list_folder: str
    sources: Mapping[str, ImageSource]
    anchors: frozenset[str]
    separator: str
    roots: tuple[str, ...]

    def category(self, folder: str) -> str:
        """The category that a path's folder spells: ``a-b`` for ``train/a-b`` and ``data_256/x/a/b``; empty in flat lists."""
        parts = [part for part in folder.split("/") if part not in ("", ".")]
        start = max((position + 1 for position, part in enumerate(parts) if part in self.anchors), default=0)
        parts = parts[start:]
        if len(parts) > 1 and len(parts[0]) == 1:
            del parts[0]
        return self.separator.join(parts)


_OWN_LISTS = {"train": "train", "val": "val", "test": "test"}


def _three_lists(stem: str) -> dict[str, str]:
    return {split: f"{stem}_{split}.txt" for split in _OWN_LISTS}


_IMAGENET_TRAIN = ImageSource(
    "train",
    ("train/{category}", "ILSVRC2012_img_train/{category}"),
    "ILSVRC2012_img_train.tar (https://image-net.org/download-images.php)",
)
_IMAGENET_VAL = ImageSource(
    "val",
    ("val/{category}", "val", "ILSVRC2012_img_val"),
    "ILSVRC2012_img_val.tar (https://image-net.org/download-images.php)",
    flat_names=True,
)
_PLACES_TRAIN = ImageSource(
    "train",
    (
        "train/{category}",
        "data_256/{initial}/{nested}",
        "data_256_standard/{initial}/{nested}",
        "data_large/{initial}/{nested}",
        "data_large_standard/{initial}/{nested}",
    ),
    "places365standard_easyformat.tar, or train_256_places365standard.tar "
    "(http://places2.csail.mit.edu/download-private.html)",
)
_PLACES_VAL = ImageSource(
    "val",
    ("val/{category}", "val_256", "val_large", "val"),
    "places365standard_easyformat.tar, or val_256.tar (http://places2.csail.mit.edu/download-private.html)",
    flat_names=True,
)
_INATURALIST = ImageSource(
    "train_val2018",
    ("train_val2018/{category}",),
    "train_val2018.tar.gz (https://github.com/visipedia/inat_comp/tree/master/2018)",
)

IMAGENET_LT = Benchmark(
    "imagenet-lt",
    lists=_three_lists("ImageNet_LT"),
    list_of_split=_OWN_LISTS,
    list_folder="ImageNet_LT",
    sources={"train": _IMAGENET_TRAIN, "val": _IMAGENET_TRAIN, "test": _IMAGENET_VAL},
    anchors=frozenset({"train", "val", "ILSVRC2012_img_train", "ILSVRC2012_img_val"}),
    separator="/",
    roots=("", "ILSVRC2012", "imagenet", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC"),
)
PLACES_LT = Benchmark(
    "places-lt",
    lists=_three_lists("Places_LT"),
    list_of_split=_OWN_LISTS,
    list_folder="Places_LT",
    sources={"train": _PLACES_TRAIN, "val": _PLACES_TRAIN, "test": _PLACES_VAL},
    anchors=frozenset(
        ("train", "val", "val_256", "val_large", "data_256", "data_256_standard", "data_large", "data_large_standard")
    ),
    separator="-",
    roots=("", "places365_standard", "places365", "Places365"),
)
INATURALIST2018 = Benchmark(
    "inaturalist2018",
    lists={"train": "iNaturalist18_train.txt", "val": "iNaturalist18_val.txt"},
    list_of_split={"train": "train", "val": "train", "test": "val"},
    list_folder="iNaturalist18",
    sources={"train": _INATURALIST, "val": _INATURALIST},
    anchors=frozenset({"train_val2018"}),
    separator="/",
    roots=("", "inaturalist2018", "iNaturalist18"),
)

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (IMAGENET_LT, PLACES_LT, INATURALIST2018)
}
"""Name of the dataset -> what is known about it."""
