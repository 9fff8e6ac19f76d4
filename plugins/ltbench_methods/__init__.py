"""The methods that ltbench ships, registered like anyone's. Hooks only: one method, one file."""

from collections.abc import Iterator

from ltbench.plugin import MethodSpec, hookimpl


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec(
        "baseline",
        target="ltbench_methods.baseline:Baseline",
        summary="One classifier over all classes, cross entropy, instance-balanced sampling.",
        paper="Sec. 3.1, 4",
    )
    yield MethodSpec(
        "experts",
        target="ltbench_methods.experts:Experts",
        summary="A classifier for each of several subsets of classes of similar frequency.",
        paper="Sec. 3",
        requires=("baseline",),
    )
    yield MethodSpec(
        "prototype",
        target="ltbench_methods.prototype:Prototype",
        summary="A memory of class centroids enriches the features, a cosine classifier reads them (Liu et al. 2019).",
        paper="Sec. 4.4 v",
        requires=("baseline",),
    )
