"""The methods that long-tailed recognition compares with, registered like anyone's: one method is one file and one entry here.

``methods.md`` beside this file has a paragraph on each: its source, its settings here and what differs from the source.
``docs/methods.md`` is made of those and of the records.
"""

from collections.abc import Iterator

from ltbench.plugin import FuserSpec, MethodSpec, hookimpl


@hookimpl
def ltbench_methods() -> Iterator[MethodSpec]:
    yield MethodSpec(
        "balanced-softmax",
        target="ltbench_zoo.balanced_softmax:BalancedSoftmax",
        summary="Cross entropy of logits to which the log of the training counts is added.",
        paper="Ren et al., NeurIPS 2020",
        recipe="baseline",
    )
    yield MethodSpec(
        "logit-adjusted",
        target="ltbench_zoo.logit_adjusted:LogitAdjusted",
        summary="Cross entropy of logits to which tau times the log of the class frequencies is added.",
        paper="Menon et al., ICLR 2021",
        recipe="baseline",
    )
    yield MethodSpec(
        "ldam-drw",
        target="ltbench_zoo.ldam_drw:LDAM",
        summary="Cosine classifier with larger margins for rarer classes, reweighted late.",
        paper="Cao et al., NeurIPS 2019",
        recipe="baseline",
    )
    yield MethodSpec(
        "crt",
        target="ltbench_zoo.crt:RetrainedClassifier",
        summary="A new classifier on the baseline's frozen features, class-balanced batches.",
        paper="Kang et al., ICLR 2020",
        requires=("baseline",),
    )
    yield MethodSpec(
        "lws",
        target="ltbench_zoo.lws:LearnedScales",
        summary="One learned scale for each class of the baseline's classifier.",
        paper="Kang et al., ICLR 2020",
        requires=("baseline",),
    )
    yield MethodSpec(
        "tau-norm",
        target="ltbench_zoo.tau_norm:TauNormalised",
        summary="The baseline's classifier with its weights divided by their norm to the power tau.",
        paper="Kang et al., ICLR 2020",
        requires=("baseline",),
    )
    yield MethodSpec(
        "focal",
        target="ltbench_zoo.focal:Focal",
        summary="Cross entropy in which what is classified well counts less.",
        paper="Lin et al., ICCV 2017",
        recipe="baseline",
    )
    yield MethodSpec(
        "mixup",
        target="ltbench_zoo.mixup:Mixup",
        summary="Cross entropy on images mixed in pairs.",
        paper="Zhang et al., ICLR 2018",
        recipe="baseline",
    )
    yield MethodSpec(
        "mislas",
        target="ltbench_zoo.mislas:MiSLAS",
        summary="On mixup: BatchNorm statistics learned again, scaled classifier, label-aware smoothing.",
        paper="Zhong et al., CVPR 2021",
        requires=("mixup",),
    )
    yield MethodSpec(
        "weight-balancing",
        target="ltbench_zoo.weight_balancing:WeightBalancing",
        summary="Strong weight decay; then MaxNorm and a class-balanced loss on the classifier.",
        paper="Alshammari et al., CVPR 2022",
        recipe="baseline",
    )
    yield MethodSpec(
        "lifted",
        target="ltbench_zoo.lifted:Lifted",
        summary="Lifted structure loss beside cross entropy, class-aware batches.",
        paper="Tables 8 and 9; Oh Song et al., CVPR 2016",
        recipe="baseline",
    )
    yield MethodSpec(
        "range",
        target="ltbench_zoo.range:Range",
        summary="Range loss beside cross entropy, class-aware batches.",
        paper="Tables 8 and 9; Zhang et al., ICCV 2017",
        recipe="baseline",
    )
    yield MethodSpec(
        "fslwf",
        target="ltbench_zoo.fslwf:FSLwF",
        summary="Cosine classifier whose weights of Few-shot classes are generated from their images.",
        paper="Tables 8 and 9; Gidaris & Komodakis, CVPR 2018",
        recipe="baseline",
    )
    yield MethodSpec(
        "ride",
        target="ltbench_zoo.ride:RIDE",
        summary="Three experts on one trunk, LDAM with late weights each, held apart.",
        paper="Wang et al., ICLR 2021",
        recipe="baseline",
        partial=True,
        fusers=("mean-logits",),
    )
    yield MethodSpec(
        "sade",
        target="ltbench_zoo.sade:SADE",
        summary="Experts for long-tailed, uniform and inversely long-tailed classes.",
        paper="Zhang et al., NeurIPS 2022",
        recipe="baseline",
        partial=True,
        fusers=("mean-logits",),
    )
    yield MethodSpec(
        "balpoe",
        target="ltbench_zoo.balpoe:BalPoE",
        summary="Logit-adjusted experts of different tau, on mixed images.",
        paper="Aimar et al., CVPR 2023",
        recipe="baseline",
        partial=True,
        fusers=("mean-logits",),
    )
    yield MethodSpec(
        "bcl",
        target="ltbench_zoo.bcl:BCL",
        summary="Logit adjustment beside a balanced contrast of two more views with class prototypes.",
        paper="Zhu et al., CVPR 2022",
        recipe="baseline",
    )
    yield MethodSpec(
        "lift",
        target="ltbench_zoo.lift:LIFT",
        summary="Adapters in a frozen vision transformer, cosine classifier, logit adjustment.",
        paper="Shi et al., ICML 2024",
    )


@hookimpl
def ltbench_fusers() -> Iterator[FuserSpec]:
    yield FuserSpec(
        "mean-logits",
        target="ltbench_zoo.mean_logits:MeanLogits",
        summary="Softmax of the mean of logits, one vote for each method. Learns nothing.",
        paper="Wang et al., ICLR 2021; Zhang et al., NeurIPS 2022; Aimar et al., CVPR 2023",
    )
