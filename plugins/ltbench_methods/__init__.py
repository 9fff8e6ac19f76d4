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
        reference=True,
        ensemble=True,
    )
    yield MethodSpec(
        "experts",
        target="ltbench_methods.experts:Experts",
        summary="A classifier for each of several subsets of classes of similar frequency.",
        paper="Sec. 3",
        requires=("baseline",),
        partial=True,
        fusers=("joint",),
        ensemble=True,
    )
    yield MethodSpec(
        "uniform",
        target="ltbench_methods.uniform:Uniform",
        summary="The baseline's classifier trained again with class-balanced sampling, its backbone frozen.",
        paper="Sec. 4.4 iii",
        requires=("baseline",),
        ensemble=True,
    )
    yield MethodSpec(
        "gan",
        target="ltbench_methods.gan:GAN",
        summary="The baseline's classifier trained again with generated features of rare classes added (f-VAEGAN-D2).",
        paper="Sec. 4.4 iv; Xian et al. 2019",
        requires=("baseline",),
        controls=("resampled", "gaussian"),
        ensemble=True,
    )
    yield MethodSpec(
        "resampled",
        target="ltbench_methods.resampled:Resampled",
        summary="Control of gan: real features of rare classes repeated in place of synthetic ones.",
        requires=("baseline",),
        recipe="gan",
    )
    yield MethodSpec(
        "gaussian",
        target="ltbench_methods.gaussian:Gaussian",
        summary="Control of gan: class means plus pooled Gaussian noise in place of synthetic features.",
        requires=("baseline",),
        recipe="gan",
    )
    yield MethodSpec(
        "prototype",
        target="ltbench_methods.prototype:Prototype",
        summary="A memory of class centroids enriches the features, a cosine classifier reads them (Liu et al. 2019).",
        paper="Sec. 4.4 v",
        requires=("baseline",),
        ensemble=True,
    )
