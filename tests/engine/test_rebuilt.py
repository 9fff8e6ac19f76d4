"""What is evaluated is a method built again from its stored weights: one that keeps more than those is refused."""

import json
from pathlib import Path

from tiny import BASELINE, DATA, settings

METHOD = """
import torch
from torch import nn
from ltbench.plugin import MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline

@hookimpl
def ltbench_methods():
    yield MethodSpec("sharpened", target="{module}:Sharpened", recipe="baseline")

class Head(nn.Linear):
    {attribute}

    def forward(self, features):
        return self.sharpness * super().forward(features)

class Sharpened(Baseline):
    def build(self, context):
        (member,) = super().build(context)
        member.head.__class__ = Head
        {register}
        return [member]

    def fit(self, context, members):
        super().fit(context, members)
        {learn}
"""

OUTSIDE = {"attribute": "sharpness = 1.0", "register": "pass", "learn": "members[0].head.sharpness = 3.0"}
INSIDE = {
    "attribute": "pass",
    "register": 'member.head.register_buffer("sharpness", torch.ones(()))',
    "learn": "members[0].head.sharpness.fill_(3.0)",
}
RUN = ("run", "--method", "sharpened", *DATA, *settings(sharpened=BASELINE), "--no-controls")


def test_what_a_member_learns_outside_its_weights_is_refused(ltb, plugin_file, own_cache: Path) -> None:
    done = ltb("--plugin", plugin_file("kept_outside", METHOD.format(module="kept_outside", **OUTSIDE)), *RUN)
    assert done.code == 1
    assert "'sharpened': member 'all', built again with its stored weights, answers otherwise" in done.complaint
    assert "parameters or buffers" in done.complaint
    assert not list(own_cache.glob("stages/sharpened-*/stage.json"))


def test_what_it_learns_in_a_buffer_is_evaluated(ltb, plugin_file, own_cache: Path) -> None:
    done = ltb("--plugin", plugin_file("kept_inside", METHOD.format(module="kept_inside", **INSIDE)), *RUN, "--json")
    assert done.code == 0, done.err
    assert [one["methods"] for one in json.loads(done.out)["records"]].count(["sharpened"]) == 1
