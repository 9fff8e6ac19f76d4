"""The datasets that ltbench ships, registered like anyone's."""

from collections.abc import Iterator

from ltbench.plugin import DatasetSpec, hookimpl

ltbench_outside_keys = {
    "ltbench_datasets.folder_settings": "suggests settings, which count as such",
    "ltbench_datasets.published.facts": "published figures that 'ltbench data' compares with",
    "ltbench_datasets.published.list_diff": "says which published list a file is; what it holds is in the fingerprint",
    "ltbench_datasets.published.list_reports": "what 'ltbench data check' says of lists",
}


@hookimpl
def ltbench_datasets() -> Iterator[DatasetSpec]:
    yield DatasetSpec(
        "glyphs-lt",
        target="ltbench_datasets.glyphs:GlyphsLT",
        summary="100 confusable letters drawn on the spot, 500 to 5 images a class; no download. The default.",
    )
    yield DatasetSpec(
        "cifar10-lt",
        target="ltbench_datasets.cifar_lt:Cifar10LT",
        origin="ltbench_datasets.small_files:CIFAR10_LT",
        summary="CIFAR-10 with exponentially falling class counts (imbalance: 100 by default); downloaded on request.",
        paper="Cao et al., NeurIPS 2019 (LDAM)",
    )
    yield DatasetSpec(
        "cifar100-lt",
        target="ltbench_datasets.cifar_lt:Cifar100LT",
        origin="ltbench_datasets.small_files:CIFAR100_LT",
        summary="CIFAR-100 with exponentially falling class counts (imbalance: 100 by default); downloaded on request.",
        paper="Cao et al., NeurIPS 2019 (LDAM)",
    )
    yield DatasetSpec(
        "fashion-mnist-lt",
        target="ltbench_datasets.fashion_mnist_lt:FashionMnistLT",
        origin="ltbench_datasets.small_files:FASHION_MNIST_LT",
        summary="Fashion-MNIST with exponentially falling class counts (imbalance: 100 by default); downloaded on request.",
        paper="Xiao et al., 2017; counts by the rule of Cao et al., NeurIPS 2019 (LDAM)",
    )
    yield DatasetSpec(
        "folder",
        target="ltbench_datasets.folder:Folder",
        summary="Your own images: a folder for each class, or 'path label' lists; made long-tailed where asked.",
    )
    yield DatasetSpec(
        "imagenet-lt",
        target="ltbench_datasets.benchmarks:ImageNetLT",
        origin="ltbench_datasets.published.origin:IMAGENET_LT",
        summary="ImageNet-LT: 1,000 classes, 115,846 training images, 1,280 to 5 a class; your copy of ILSVRC 2012.",
        paper="Liu et al., CVPR 2019 (OLTR)",
    )
    yield DatasetSpec(
        "places-lt",
        target="ltbench_datasets.benchmarks:PlacesLT",
        origin="ltbench_datasets.published.origin:PLACES_LT",
        summary="Places-LT: 365 classes, 62,500 training images, 4,980 to 5 a class; your copy of Places365, any layout.",
        paper="Liu et al., CVPR 2019 (OLTR)",
    )
    yield DatasetSpec(
        "inaturalist2018",
        target="ltbench_datasets.benchmarks:INaturalist2018",
        origin="ltbench_datasets.published.origin:INATURALIST2018",
        summary="iNaturalist 2018: 8,142 species, 437,513 images for training and validation, 1,000 to 2 a class; your copy.",
        paper="Van Horn et al., CVPR 2018",
    )
