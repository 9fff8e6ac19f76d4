"""Plugin files that misbehave, by the name of the file; test_bad_inputs.py runs them."""

METHOD = """
import sys
import torch
from ltbench.plugin import DatasetSpec, FuserSpec, MethodSpec, hookimpl
from ltbench_methods.baseline import Baseline
from ltbench.fuser import Fuser
from ltbench_datasets.glyphs import GlyphsLT

@hookimpl
def ltbench_methods():
    yield MethodSpec("odd", target=f"{__name__}:Odd", recipe="baseline")

@hookimpl
def ltbench_fusers():
    yield FuserSpec("strange", target=f"{__name__}:Strange")

@hookimpl
def ltbench_datasets():
    yield DatasetSpec("weird", target=f"{__name__}:Weird")

class Odd(Baseline):
    pass

class Strange(Fuser):
    def fuse(self, members):
        return members[0].logits.log_softmax(dim=1)

class Weird(GlyphsLT):
    name = "weird"
"""

_CHANGES = {
    "init_fails": "def init(self, config=None): raise KeyError('lost')\nOdd.__init__ = init",
    "build_exits": "Odd.build = lambda self, context: sys.exit(0)",
    "fit_fails": "def fit(self, context, members): return {}['lost']\nOdd.fit = fit",
    "fit_exits": "Odd.fit = lambda self, context, members: sys.exit(0)",
    "loss_exits": "Odd.loss = lambda self, logits, targets: sys.exit()",
    "loss_eof": "def loss(self, logits, targets): raise EOFError\nOdd.loss = loss",
    "loss_needs_memory": "Odd.loss = lambda self, logits, targets: torch.empty(2**50).sum()",
    "head_is_narrow": "Odd.head = lambda self, features, classes: torch.nn.Linear(features, 3)",
    "head_misfits": "Odd.head = lambda self, features, classes: torch.nn.Linear(7, classes)",
    "no_members": "Odd.build = lambda self, context: []",
    "fuser_fails": "def fit(self, members, labels): return labels.nonsense\nStrange.learn = fit",
    "fuser_exits": "Strange.fuse = lambda self, members: sys.exit(0)",
    "fuser_is_narrow": "Strange.fuse = lambda self, members: members[0].logits[:, :2].log_softmax(dim=1)",
    "dataset_fails": "def split(self, name): raise KeyError(name)\nWeird.split = split",
    "dataset_exits": "Weird.__init__ = lambda self, options=None, root=None: sys.exit(0)",
}

PLUGINS = {
    "syntax.py": "def :",
    "exits.py": "import sys; sys.exit(0)",
    "json.py": "",
    "no_hooks.py": "x = 1",
    "gone.py": """
from ltbench.plugin import MethodSpec, hookimpl
@hookimpl
def ltbench_methods():
    yield MethodSpec("gone", target="nowhere.at_all:Mine")
""",
    "other_api.py": "ltbench_api_version = 99",
    "command_fails.py": """
from ltbench.plugin import hookimpl
@hookimpl
def ltbench_commands(cli):
    raise RuntimeError("no")
""",
    "hook_exits.py": """
import sys
from ltbench.plugin import hookimpl
@hookimpl
def ltbench_after_epoch(run, stage, epoch, metrics):
    sys.exit(0)
""",
    **{f"{name}.py": f"{METHOD}\n{change}\n" for name, change in _CHANGES.items()},
}
