"""The datasets that ltbench ships, registered like anyone's."""

from collections.abc import Iterator

from ltbench.plugin import DatasetSpec, hookimpl


@hookimpl
def ltbench_datasets() -> Iterator[DatasetSpec]:
    yield DatasetSpec(
        "glyphs-lt",
        target="ltbench.data.glyphs:GlyphsLT",
        summary="100 confusable letters drawn on the spot, 500 to 5 images a class; no download. The default.",
    )
