"""A method cannot reach the test split: nothing that can be got at from its context holds it."""

import functools
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from tiny import OPTIONS, TINY
from torch import Tensor, nn

import ltbench
from ltbench.data.base import Dataset
from ltbench.engine.run import Engine

PROBE = """
from ltbench.plugin import MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline

@hookimpl
def ltbench_methods():
    yield MethodSpec("probe", target="probe_plugin:Probe", requires=("baseline",), recipe="baseline")

class Probe(Baseline):
    visit = None
    def build(self, context):
        type(self).visit(context, self)
        return super().build(context)
    def fit(self, context, members):
        context.stage("baseline")
        context.features(members[0].backbone, "val")
        super().fit(context, members)
        type(self).visit(context, self)
"""

FOLLOWED = ("ltbench", "ltbench_methods", "probe_plugin", "accelerate", "torch", "functools", "collections")
"""Packages whose objects are looked into. The reporter's console leads to pytest, and from there to everything."""


def reachable(*start: object) -> Iterator[object]:
    """Everything that attributes, containers, closures, default arguments and bound methods lead to."""
    todo, seen = list(start), {id(sys.modules): None}
    while todo:
        found = todo.pop()
        if id(found) in seen or isinstance(found, ModuleType | type):
            continue
        seen[id(found)] = found  # kept, or its id could be another object's
        yield found
        todo += neighbours(found)


def neighbours(found: Any) -> list[object]:
    if isinstance(found, FunctionType):
        cells = [cell.cell_contents for cell in found.__closure__ or () if _filled(cell)]
        return [*cells, *(found.__defaults__ or ()), *(found.__kwdefaults__ or {}).values()]
    if isinstance(found, Tensor):
        return [] if found._base is None else [found._base]
    followed = type(found).__module__.partition(".")[0] in FOLLOWED
    if followed or isinstance(
        found, dict | list | tuple | set | frozenset | MethodType | functools.partial | nn.Module
    ):
        return gc.get_referents(found)
    return []


def _filled(cell: Any) -> bool:
    try:
        return bool(cell.cell_contents is not None)
    except ValueError:
        return False


def test_nothing_in_a_context_leads_to_the_test_split(ltb, plugin_file, own_cache: Path) -> None:
    test = ltbench.get_dataset("glyphs-lt", **OPTIONS).split("test")
    visits: list[int] = []

    def visit(context: Any, method: Any) -> None:
        everything = list(reachable(context, method))
        visits.append(len(everything))
        assert any(isinstance(found, Tensor) and torch.equal(found, context.val_split.labels) for found in everything)
        for found in everything:
            assert not isinstance(found, Dataset | Engine), f"{type(found)} can be reached"
            if isinstance(found, Tensor) and found.ndim:
                assert len(found) != len(test), f"{found.dtype}{tuple(found.shape)}: a row for each test sample"
                size = found.untyped_storage().nbytes()
                assert size <= found.numel() * found.element_size() or not found.is_contiguous(), (
                    "a view of something larger"
                )

    path = plugin_file("probe_plugin", PROBE)
    assert ltb("--plugin", path, "list", "methods").code == 0
    sys.modules["probe_plugin"].Probe.visit = staticmethod(visit)
    done = ltb("--plugin", path, "run", "--method", "probe", *TINY, "--set", "probe.optim.epochs=1")
    assert done.code == 0, done.err
    assert len(visits) == 5  # fit; and built: to be checked, trained, compared with what was trained, and evaluated
    assert min(visits) > 100


def test_the_walk_finds_what_is_hidden() -> None:
    """Otherwise the test above could not fail."""
    secret = torch.arange(90)

    def closure() -> Tensor:
        return secret

    class Holder(nn.Module):
        __module__ = "ltbench.fake"

        def __init__(self) -> None:
            super().__init__()
            self.call = functools.partial(closure)

        def bound(self) -> None:
            return

    hiding_places: list[object] = [
        closure,
        lambda x=secret: x,
        functools.partial(print, secret),
        {"a": [(secret[:5],)]},
        Holder(),
        Holder().bound,
    ]
    for place in hiding_places:
        assert any(found is secret for found in reachable(place)), place


def test_a_context_has_no_split_of_that_name(ltb, plugin_file, own_cache: Path) -> None:
    code = PROBE.replace('"val")', '"test")').replace("type(self).visit", "(lambda *_: None)")
    done = ltb(
        "--plugin",
        plugin_file("probe_plugin_2", code.replace("probe_plugin", "probe_plugin_2")),
        "run",
        "--method",
        "probe",
        *TINY,
    )
    assert done.code == 1
    assert "method 'probe' asks for the features of 'test'" in done.err
