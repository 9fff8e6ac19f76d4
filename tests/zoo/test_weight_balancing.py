"""Weight balancing: radius, projection and loss by hand; the norms stay within the radius through a training."""

import numpy as np
import torch
from ltbench_zoo.weight_balancing import WeightBalancing, project, radius_of

from ltbench.engine.context import StageContext, build, fit
from ltbench.testing import FakeContext
from ltbench.testing.method_contract import workbench
from ltbench.training.optim import OptimConfig

from .steps import COUNTS, drawn, knowing, softmax


def test_the_radius_lies_between_the_norms() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 2.0]])
    assert [radius_of(weight, share) for share in (0.0, 0.1, 1.0)] == [1.0, np.float32(1.4), 5.0]


def test_the_projection_shortens_what_is_too_long_and_leaves_the_rest() -> None:
    """Dividing every row by its norm would be tau-normalisation, not MaxNorm."""
    weight = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    project(weight, 2.5)
    assert torch.allclose(weight, torch.tensor([[1.5, 2.0], [0.0, 1.0]]))


def test_the_loss_weighs_by_effective_numbers() -> None:
    logits, targets = drawn()
    w = np.array([(1 - 0.9999) / (1 - 0.9999**n) for n in COUNTS])
    w = w / w.sum() * 4
    p = softmax(logits)[np.arange(len(targets)), targets.numpy()]
    expected = (w[targets.numpy()] * -np.log(p)).mean()
    assert np.isclose(float(knowing(WeightBalancing()).balanced_loss(logits, targets)), expected, rtol=1e-5)


def test_the_first_stage_decays_strongly_whatever_the_baselines_recipe_says() -> None:
    """Without a recipe of its own it takes the baseline's, which would turn it into another baseline."""
    context, method = FakeContext([120, 30, 8]), WeightBalancing(WeightBalancing.Config(optim=OptimConfig(lr=0.3)))
    method.fit(context, method.build(context))
    first, second = context.trained
    assert first["optim"] == OptimConfig(lr=0.3, weight_decay=5e-3)
    assert second["optim"] == method.config.classifier
    assert len(second["features"]) == 5


def test_no_norm_leaves_the_radius_in_training(tmp_path) -> None:
    """The last thing that happens to a step's weights is the projection, not the optimiser's step."""
    short = OptimConfig(epochs=1, batch_size=32, lr=0.5, weight_decay=0.0)
    method = WeightBalancing(WeightBalancing.Config(optim=short, classifier=short, threshold=0.0))
    context = StageContext("weight-balancing", workbench(tmp_path), tmp_path, {})
    members = build(method, context)
    smallest = []
    inner = context.train

    def train(member, **asked):
        if "features" in asked:
            smallest.append(float(member.head.weight.norm(dim=1).min()))
        return inner(member, **asked)

    context.train = train  # type: ignore[method-assign]
    fit(method, context, members)
    assert members[0].head.weight.norm(dim=1).max() <= smallest[0] * (1 + 1e-5)
