"""An edit in a copy of the project changes exactly the keys that depend on it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY, in_subprocess

from ltbench.engine.keys.keys import STOPS
from ltbench.registry.manager import plugins

ROOT = Path(__file__).parents[2]

STAGES, FEATURES, EVALUATIONS = ("stage/*",), ("features/*",), ("evaluation/*",)
OF_FILES = tuple(
    f"{kind}/{name}"
    for kind in ("stage/*", "features")
    for name in ("folder", "imagenet-lt", "places-lt", "inaturalist2018")
)
OF_GLYPHS = ("stage/*/glyphs-lt", "features/glyphs-lt")

ADD = ""
"""In place of an old text: a statement is added at the end."""

EDITS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "resampling of image files": ("ltbench/data/images/image_files.py", 'mode="bilinear"', 'mode="bicubic"', OF_FILES),
    "what a classifier answers": (
        "ltbench/method.py",
        "self.head(self.backbone(images))",
        "self.head(2 * self.backbone(images))",
        STAGES,
    ),
    "statistics that processes share": (
        "ltbench/engine/machine/compute.py",
        "torch.distributed.broadcast(buffer, src=0)",
        "pass",
        STAGES + FEATURES,
    ),
    "backbones": ("ltbench/backbones/backbone.py", ADD, "X = 1", STAGES + FEATURES + EVALUATIONS),
    "augmentation": ("ltbench/data/augmentation/augment.py", ADD, "X = 1", STAGES + FEATURES),
    "cuts": ("ltbench/data/augmentation/cuts.py", ADD, "X = 1", STAGES + FEATURES),
    "random draws": ("ltbench/data/augmentation/draws.py", ADD, "X = 1", STAGES + FEATURES),
    "samplers": ("ltbench/data/samplers.py", ADD, "X = 1", STAGES),
    "named streams": ("ltbench/engine/machine/seeding.py", ADD, "X = 1", STAGES + FEATURES + EVALUATIONS),
    "policies of augmentation": ("ltbench/data/augmentation/policies.py", ADD, "X = 1", STAGES + FEATURES),
    "mixing": ("ltbench/training/mixing.py", ADD, "X = 1", STAGES),
    "optimisers": ("ltbench/engine/fitting/optimizers.py", ADD, "X = 1", STAGES),
    "what an objective sees": ("ltbench/training/step.py", ADD, "X = 1", STAGES),
    "the order of evaluation": ("ltbench/engine/evaluation/order.py", ADD, "X = 1", STAGES + FEATURES + EVALUATIONS),
    "what members are asked again": ("ltbench/engine/evaluation/independence.py", ADD, "X = 1", STAGES),
    "what fusers are asked again": ("ltbench/engine/evaluation/second_look.py", ADD, "X = 1", EVALUATIONS),
    "the training loop": ("ltbench/engine/fitting/loop.py", ADD, "X = 1", STAGES),
    "one training": ("ltbench/engine/fitting/fitting.py", ADD, "X = 1", STAGES),
    "what methods see": ("ltbench/engine/context.py", ADD, "X = 1", STAGES),
    "what a run's settings come to": ("ltbench/engine/workbench.py", ADD, "X = 1", STAGES),
    "batches": ("ltbench/engine/machine/loading.py", ADD, "X = 1", STAGES + FEATURES),
    "the shared pass": ("ltbench/backbones/shared_pass.py", ADD, "X = 1", STAGES + FEATURES),
    "inference": ("ltbench/engine/evaluation/inference.py", ADD, "X = 1", STAGES + FEATURES),
    "logits of stages": ("ltbench/engine/stage_logits.py", ADD, "X = 1", STAGES),
    "optimiser settings": ("ltbench/training/optim.py", ADD, "X = 1", STAGES),
    "a method": ("plugins/ltbench_methods/gan.py", ADD, "X = 1", ("stage/gan/*",)),
    "a method's helper": (
        "plugins/ltbench_methods/synthetic.py",
        ADD,
        "X = 1",
        ("stage/gan/*", "stage/resampled/*", "stage/gaussian/*"),
    ),
    "a fuser": ("plugins/ltbench_fusers/kl_divergence.py", ADD, "X = 1", ("evaluation/kl",)),
    "a fuser's helper": (
        "plugins/ltbench_fusers/soft_voting.py",
        ADD,
        "X = 1",
        ("evaluation/soft", "evaluation/temperature"),
    ),
    "calibration": (
        "plugins/ltbench_fusers/calibration.py",
        ADD,
        "X = 1",
        ("evaluation/selection", "evaluation/stacking", "evaluation/joint"),
    ),
    "the base of fusers": ("ltbench/fuser.py", ADD, "X = 1", EVALUATIONS),
    "calibration error": ("ltbench/statistics/metrics.py", "bins: int = 15", "bins: int = 1", EVALUATIONS),
    "what is measured": ("ltbench/engine/evaluation/evaluate.py", ADD, "X = 1", EVALUATIONS),
    "records": ("ltbench/results/record.py", ADD, "X = 1", EVALUATIONS),
    "the oracle": ("ltbench/analysis/oracle.py", ADD, "X = 1", EVALUATIONS),
    "folds": ("ltbench/data/folds.py", "100, 19", "99, 19", STAGES + EVALUATIONS),
    "drawing of glyphs": ("plugins/ltbench_datasets/glyph_drawing.py", ADD, "X = 1", OF_GLYPHS),
    "letters of glyphs": ("plugins/ltbench_datasets/glyph_letters.py", ADD, "X = 1", OF_GLYPHS),
    "a docstring of the engine": (
        "ltbench/engine/workbench.py",
        '"""What all stages of a run share."""',
        '"""What the stages of a run have in common."""',
        (),
    ),
    "a comment in a method": ("plugins/ltbench_methods/gan.py", ADD, "# a comment", ()),
    "another method registered": (
        "plugins/ltbench_methods/__init__.py",
        'paper="Sec. 3.1, 4"',
        'paper="Sec. 3.1 and 4"',
        (),
    ),
    "the command line": ("ltbench/cli/commands/run.py", ADD, "X = 1", ()),
    "tables": ("ltbench/report/run_table.py", ADD, "X = 1", ()),
    "the leaderboard": ("ltbench/report/leaderboard.py", ADD, "X = 1", ()),
    "what trainings take": ("ltbench/engine/fitting/spent.py", ADD, "X = 1", ()),
    "what a stage costs": ("ltbench/engine/costs.py", ADD, "X = 1", ()),
    "progress bars": ("ltbench/engine/machine/progress.py", ADD, "X = 1", ()),
    "discovery of plugins": ("ltbench/registry/manager.py", ADD, "X = 1", ()),
    "settings": ("ltbench/config.py", ADD, "X = 1", ()),
    "messages": ("ltbench/errors.py", ADD, "X = 1", ()),
    "statistics of the leaderboard": ("ltbench/statistics/bootstrap.py", ADD, "X = 1", ()),
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of ltbench and its plugins."""
    folder = tmp_path_factory.mktemp("copy")
    for part in ("ltbench", "plugins", "configs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def path_to(copy: Path) -> dict[str, str]:
    """Environment in which the copy is what is imported, not what lies in the current folder."""
    places = f"{copy}{os.pathsep}{copy / 'plugins'}"
    return {"PYTHONPATH": places, "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def with_last_line(path: str, line: str) -> tuple[str, str]:
    """(old, new) text that adds a line at the end of a module of the project."""
    text = (ROOT / path).read_text(encoding="utf-8")
    tail = next(text[-size:] for size in range(1, len(text) + 1) if text.count(text[-size:]) == 1)
    return tail, f"{tail}\n{line}\n"


@pytest.fixture(scope="module")
def effects(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """``code_of_copy.py`` on :data:`EDITS`: ``before`` (key -> module -> hash) and ``edits`` (name -> key -> modules)."""
    edits = [(path, *(with_last_line(path, new) if old == ADD else (old, new))) for path, old, new, _ in EDITS.values()]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("code_of_copy.py"))],
        input=json.dumps(edits),
        env=os.environ | path_to(copied) | {"LTBENCH_CACHE": str(tmp_path_factory.mktemp("cache"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["root"] == str(copied), "the copy is what was looked at"
    return {"before": found["before"], "edits": dict(zip(EDITS, found["edits"], strict=True))}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_changes_exactly_the_keys_that_depend_on_it(what: str, effects: dict[str, Any]) -> None:
    path, *_, patterns = EDITS[what]
    expected = {key for key in effects["before"] if any(fnmatch(key, pattern) for pattern in patterns)}
    assert bool(expected) == bool(patterns)
    found = effects["edits"][what]
    assert set(found) == expected
    module = path.removeprefix("plugins/").removesuffix(".py").replace("/", ".")
    assert all(modules == [module] for modules in found.values())


OUTSIDE = {
    "ltbench.__main__": "the command line",
    "ltbench.analysis.*": "what is looked at beside a posterior and is in no record (the oracle is)",
    "ltbench.api": "looks things up for users",
    "ltbench.cli*": "the command line",
    "ltbench.engine.costs": "what a stage took, for the record",
    "ltbench.config*": "shapes of settings; the settings are in keys as values",
    "ltbench_datasets.published.fetching": "fetches lists, which count by their content",
    "ltbench_datasets.glyphs_figure": "a figure",
    "ltbench_datasets.published.inspection": "'ltbench data check'",
    "ltbench.data.suggestions": "settings",
    "ltbench_datasets.published.list_problems": "'ltbench data check'",
    "ltbench.cli.diagnosis": "'ltbench doctor'",
    "ltbench.registry.discovery": "finds plugins",
    "ltbench.engine.keys.code": "makes keys",
    "ltbench.engine.evaluations": "keeps records under their keys",
    "ltbench.engine.hooks": "tells plugins, stops runs",
    "ltbench.engine.keys.memo": "makes keys",
    "ltbench.engine.mending": "sets damaged stages aside",
    "ltbench.engine.planning": "makes keys",
    "ltbench.plan": "what hooks are told of a run",
    "ltbench.engine.processes": "refuses runs, waits for files",
    "ltbench.engine.machine.progress": "what a user sees",
    "ltbench.engine.reasons": "what a user sees",
    "ltbench.engine.run": "the order of things; what is computed lies in the modules that it calls",
    "ltbench.engine.stages": "makes keys, keeps folders",
    "ltbench.engine.keys.syntax": "makes keys",
    "ltbench.hookspecs": "documents hooks",
    "ltbench.statistics.over_seeds": "tables of records",
    "ltbench.results.stage": "reads what a stage left",
    "ltbench.reference*": "writes docs/reference.md",
    "ltbench.settings.errors": "settings",
    "ltbench.testing*": "'ltbench plugin test'",
    "ltbench.verification*": "checks records",
    "ltbench_datasets.published.origin": "fetches lists, says what is there",
    "ltbench_datasets.small_files": "fetches images, which count by their content",
    "ltbench.settings.hyperparameters": "'ltbench show'",
    "ltbench.settings.layers": "settings",
    "ltbench.settings.recipes": "settings",
    "ltbench.settings.request": "settings",
    "ltbench.settings.suggested": "settings",
    "ltbench.report*": "tables and figures of records",
    "ltbench.reproduction*": "tables and figures of records",
    "ltbench.results.consistency": "checks records",
    "ltbench.results.differences": "checks records",
    "ltbench.results.lookup": "finds records",
    "ltbench.results.marks": "marks of verified records",
    "ltbench.results.reported": "published numbers",
    "ltbench.results.store": "reads and writes records",
    "ltbench.results.runs": "finds runs",
    "ltbench.statistics.bootstrap": "statistics of the leaderboard",
    "ltbench.statistics.resampled_sums": "statistics of the leaderboard",
    "ltbench.common.terminal": "what a user sees",
}
"""Modules in no key, and why they decide no number of a stage, of features or of an evaluation."""


def modules_of(folder: str) -> set[str]:
    root = ROOT / folder
    names = (path.relative_to(root.parent if folder == "ltbench" else root) for path in root.rglob("*.py"))
    return {".".join(name.with_suffix("").parts).removesuffix(".__init__") for name in names}


def test_every_module_is_in_a_key_or_says_why_not(effects: dict[str, Any]) -> None:
    counted = {module for code in effects["before"].values() for module in code}
    modules = modules_of("ltbench") | modules_of("plugins")
    own = {name for plugin in plugins().records for name in plugin.outside_keys}
    left = {name for name in modules - counted if not any(fnmatch(name, pattern) for pattern in OUTSIDE)}
    assert left == {*STOPS, *own}, "neither in a key nor among the modules that decide no number"
    assert not counted & {*STOPS, *own}
    for pattern in OUTSIDE:
        matching = {name for name in modules if fnmatch(name, pattern)}
        assert matching - counted, f"{pattern} is in every key or not there"
        assert not (matching & counted) - {"ltbench.analysis.oracle"}, f"{pattern} is in a key"


@pytest.fixture
def cached(copied: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The baseline's stage in the plan of a tiny run with the copied project, on the command line."""

    def call() -> dict[str, Any]:
        arguments = ["run", "--method", "baseline", *TINY, "--dry-run", "--json"]
        done = in_subprocess(arguments, tmp_path / "cache", **path_to(copied))
        assert done.code == 0, done.err
        (stage,) = json.loads(done.out)["stages"]
        return stage

    done = in_subprocess(["run", "--method", "baseline", *TINY], tmp_path / "cache", **path_to(copied))
    assert done.code == 0, done.err
    return call


def test_on_the_command_line_comments_retrain_nothing_and_a_constant_says_where_it_is(
    cached: Callable[..., dict[str, Any]], copied: Path
) -> None:
    sources = [path for part in ("ltbench", "plugins") for path in (copied / part).rglob("*.py")]
    before = {path: path.read_text(encoding="utf-8") for path in sources}
    try:
        for path, text in before.items():
            path.write_text(f"# edited\n{text.replace('Raises:', 'May raise:')}\n\n# edited\n", encoding="utf-8")
        same = cached()
        assert same["cached"]
        assert same["why"] is None
        loop = copied / "ltbench" / "engine" / "fitting" / "stepping.py"
        text = loop.read_text(encoding="utf-8")
        loop.write_text(text.replace("optimizer.zero_grad()", "optimizer.zero_grad(True)"), encoding="utf-8")
        other = cached()
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
    assert not other["cached"]
    assert other["key"] != same["key"]
    assert other["why"]["closest"] == Path(same["folder"]).name
    assert [entry["what"] for entry in other["why"]["differences"]] == ["ltbench.engine.fitting.stepping"]
    assert other["why"]["text"].startswith(
        f"ltbench.engine.fitting.stepping changed since {other['why']['closest']} of 2"
    )
