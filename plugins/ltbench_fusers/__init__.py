"""The paper's fusers (Sec. 3.3 and 4.6): one file each. This module holds the hooks only."""

from collections.abc import Iterator

from ltbench.plugin import FuserSpec, hookimpl


@hookimpl
def ltbench_fusers() -> Iterator[FuserSpec]:
    yield FuserSpec(
        "kl",
        target="ltbench_fusers.kl_divergence:KLDivergence",
        summary="Posterior with the smallest sum of KL divergences from the members'. Learns nothing.",
        paper="Sec. 3.3.1",
    )
    yield FuserSpec(
        "soft",
        target="ltbench_fusers.soft_voting:SoftVoting",
        summary="Mean of the full posteriors, one vote for each method. Learns nothing.",
        paper="Sec. 3.3.2",
    )
    yield FuserSpec(
        "selection",
        target="ltbench_fusers.expert_selection:ExpertSelection",
        summary="A linear classifier picks the one expert that answers.",
        paper="Sec. 3.3.3",
    )
    yield FuserSpec(
        "stacking",
        target="ltbench_fusers.stacking:Stacking",
        summary="A linear classifier over all classes on the members' concatenated posteriors.",
        paper="Sec. 3.3.4",
    )
    yield FuserSpec(
        "joint",
        target="ltbench_fusers.joint_calibration:JointCalibration",
        summary="A learned scale and shift for each logit, then the sum of the posteriors.",
        paper="Sec. 3.3.5",
        control=True,
    )
    yield FuserSpec(
        "temperature",
        target="ltbench_fusers.temperature:Temperature",
        summary="One learned temperature for each member, then soft voting.",
        paper="Sec. 4.6",
    )
    yield FuserSpec(
        "logit-adjustment",
        target="ltbench_fusers.logit_adjustment:LogitAdjustment",
        summary="Logits of full classifiers less the log of the training frequencies. Learns nothing with a fixed tau.",
        paper="Menon et al. 2021",
    )
