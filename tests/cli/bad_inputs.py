"""What cannot work, one row each: arguments, exit code, and what the one line on stderr says. test_bad_inputs.py runs them.

``{logits}``, ``{records}`` and ``{resnet18}`` stand for what the test has made. A row may bring files of its
own, which lie in the current folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiny import TINY, TINY_EXPERTS, settings

from .bad_plugins import PLUGINS

Files = Mapping[str, str | bytes]


@dataclass(frozen=True)
class Bad:
    """A row; ``files`` are written before, by name, ``environment`` is set."""

    arguments: tuple[str, ...]
    code: int
    says: str
    files: Files = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        said = [part for part in self.arguments if part not in {*TINY_EXPERTS}]
        return " ".join([*(f"{name}={value}" for name, value in self.environment.items()), *said])[:80]


BASELINE = ("run", "-m", "baseline")
QUICK = (*TINY, *settings(baseline={"optim": {"epochs": 1}}))
DEEP = "[" * 5000 + "]" * 5000
RESNET10_FROM_RESNET18 = (
    *(*BASELINE, *TINY, "--set", "backbone.checkpoint={resnet18}", "--set", "backbone.kwargs.stem_kernel=7"),
    *("--set", "backbone.kwargs.widths=[64, 128, 256, 512]"),
)
HUGE = "1" + 30 * "0"


def setting(text: str, says: str) -> Bad:
    return Bad((*BASELINE, "--set", text, "--dry-run"), 2, says)


def in_file(content: str | bytes, says: str) -> Bad:
    return Bad((*BASELINE, "-c", "settings.toml", "--dry-run"), 2, says, {"settings.toml": content})


def world(says: str, *more: str, **variables: Any) -> Bad:
    return Bad((*BASELINE, *TINY, *more), 2, says, environment={name: str(value) for name, value in variables.items()})


def twice(option: str, *command: str, first: str = "1", second: str = "2") -> Bad:
    return Bad((*command, option, first, option, second), 2, f"{option} is given 2 times; give it once.")


def plugin(name: str, code: int, says: str, *command: str, **environment: str) -> Bad:
    return Bad(("--plugin", name, *command), code, says, {name: PLUGINS[name]}, environment)


def odd(name: str, code: int, says: str, *more: str) -> Bad:
    """A run of the method in that file."""
    quick = [part.replace("baseline.", "odd.") for part in QUICK]
    return plugin(f"{name}.py", code, says, "run", "-m", "odd", "--no-controls", *quick, *more)


def named(name: str, says: str) -> Bad:
    """A name for a new plugin."""
    return Bad(("plugin", "new", name), 2, f"'{name}' cannot name a plugin: {says}")


BEFORE_ANY_COMMAND = [
    Bad(("runn",), 2, "No such command 'runn'. Did you mean 'run'?"),
    Bad(("report",), 2, "No such command 'report'"),
    Bad(("--nonsense",), 2, "No such option '--nonsense'"),
    Bad(("--plugin", "absent.py", "list", "methods"), 2, "File 'absent.py' does not exist."),
    Bad(("--plugin", ".", "list", "methods"), 2, "File '.' is a directory."),
    plugin("syntax.py", 3, "needs plugin 'syntax' (syntax.py), which is broken: SyntaxError", "run", "-m", "syntax"),
    plugin("exits.py", 3, "needs plugin 'exits' (exits.py), which is broken: SystemExit: 0", "run", "-m", "exits"),
    plugin("json.py", 3, "a module named 'json' exists already", "run", "-m", "json"),
    plugin("no_hooks.py", 3, "it implements no hook", "run", "-m", "no_hooks"),
    plugin("other_api.py", 3, "which is incompatible: it needs version 99", "run", "-m", "other_api"),
    plugin("gone.py", 3, "importing nowhere.at_all:Mine failed with ModuleNotFoundError", "run", "-m", "gone"),
    plugin("syntax.py", 3, "(LTBENCH_STRICT_PLUGINS is set.)", "list", "methods", LTBENCH_STRICT_PLUGINS="1"),
    plugin("command_fails.py", 3, "ltbench_commands failed: RuntimeError", "--help", LTBENCH_STRICT_PLUGINS="1"),
]

OPTIONS_OF_RUN = [
    Bad(("run",), 2, "no method chosen: give --method NAME"),
    Bad(("run", "-m"), 2, "Option '-m' requires an argument."),
    Bad(("run", "-m", "expert"), 2, "unknown method 'expert'. Did you mean 'experts'?"),
    Bad(("run", "baseline"), 2, "Got unexpected extra argument (baseline)"),
    Bad((*BASELINE, "-m", "baseline"), 2, "'baseline' is named twice"),
    Bad((*BASELINE, "-f", "joit"), 2, "unknown fuser 'joit'. Did you mean 'joint'?"),
    Bad((*BASELINE, "-d", "glyph-lt"), 2, "unknown dataset 'glyph-lt'. Did you mean 'glyphs-lt'?"),
    Bad((*BASELINE, *TINY, "-b", "resnet19", "--dry-run"), 2, "unknown backbone 'resnet19': no such timm model."),
    Bad((*BASELINE, "--seed", "x"), 2, "'x' is not a valid integer range"),
    Bad((*BASELINE, "--seed", "-1"), 2, "-1 is not in the range x>=0"),
    Bad((*BASELINE, "--seeds", "0,x"), 2, "--seeds 0,x: expected distinct numbers from 0 up"),
    Bad((*BASELINE, "--seeds", "1,1"), 2, "--seeds 1,1: expected distinct numbers"),
    Bad((*BASELINE, "--seeds", "1,2", "--seed", "3"), 2, "--seed and --seeds exclude each other"),
    Bad((*BASELINE, "--folds", "papers"), 2, "papers"),
    Bad((*BASELINE, "--on-bad-image", "perhaps"), 2, "'perhaps' is not one of 'error', 'skip'"),
    Bad((*BASELINE, "--on-bad-image", "skip", "--dry-run"), 2, "on_bad_image"),
    Bad((*BASELINE, "--results", "a_file"), 2, "Directory 'a_file' is a file.", {"a_file": ""}),
    Bad((*BASELINE, "--data-root", "a_file"), 2, "Directory 'a_file' is a file.", {"a_file": ""}),
    Bad((*BASELINE, "--num-processes", "0"), 2, "0 is not in the range x>=1"),
    Bad((*BASELINE, "--num-processes", "5000"), 2, "--num-processes 5000: this command may use "),
    Bad((*BASELINE, "--num-processes", "5000", "--dry-run"), 2, "or add --oversubscribe"),
    Bad(("run", "-m", "expert", "--num-processes", "2"), 2, "unknown method 'expert'"),
    Bad(("reproduce", "table6", "--num-processes", "5000"), 2, "--num-processes 5000: this command may use "),
    twice("--backbone", *BASELINE, first="resnet18", second="resnet34"),
    twice("--dataset", *BASELINE, first="glyphs-lt", second="folder"),
    twice("--data-root", *BASELINE),
    twice("--on-bad-image", *BASELINE, first="error", second="skip"),
    twice("--seed", *BASELINE),
    twice("--seeds", *BASELINE),
    twice("--folds", *BASELINE, first="paper", second="paper"),
    twice("--results", *BASELINE),
    twice("--num-processes", *BASELINE),
    Bad((*BASELINE, "-b", "resnet18", "--backbone", "resnet18"), 2, "--backbone is given 2 times"),
    twice("--out", "reproduce", "table6"),
    twice("--dataset", "leaderboard"),
    twice("--folds", "fuse", "somewhere", "-f", "soft"),
    twice("--data-root", "data", "check", "folder"),
    twice("--directory", "plugin", "new", "my-own"),
]

SETTINGS_OF_RUN = [
    Bad((*BASELINE, "-c", "nowhere.toml"), 2, "nowhere.toml: no such file"),
    Bad((*BASELINE, "-c", "."), 2, "File '.' is a directory."),
    in_file("methods = [", "settings.toml is not valid TOML"),
    in_file(b"# caf\xe9\n", "settings.toml is not UTF-8"),
    in_file(f"x = {DEEP}", "settings.toml: nested too deeply"),
    in_file("a" + 5000 * ".a" + " = 1", "settings.toml: nested too deeply"),
    in_file(f"seed = {5000 * '1'}", "settings.toml is not valid TOML"),
    in_file("nonsense = 1", "nonsense = 1 (from settings.toml): 'nonsense' is neither a setting of the run nor"),
    in_file("[baseline]\noptim = 3", "baseline.optim = 3 (from settings.toml): expected a table."),
    in_file("[baseline.optim]\nlr = inf", "baseline.optim.lr = inf (from settings.toml): expected a finite number."),
    setting("baseline.optim.lr", "write KEY=VALUE"),
    setting("=1", "write KEY=VALUE"),
    setting("baseline..lr=1", "write KEY=VALUE"),
    setting("baseline.optim.epoch=3", "Did you mean 'baseline.optim.epochs'?"),
    setting("baseline.optim.lr=-1", "baseline.optim.lr = -1 (from --set): expected a number > 0."),
    setting("baseline.optim.lr=inf", "baseline.optim.lr = inf (from --set): expected a finite number."),
    setting(
        "baseline.optim.weight_decay=nan", "baseline.optim.weight_decay = nan (from --set): expected a finite number."
    ),
    setting(
        "augment.crop_scale=[0.1, -inf]", "augment.crop_scale = [0.1, -inf] (from --set): expected a finite number."
    ),
    setting("backbone.kwargs.drop_rate=nan", "backbone.kwargs.drop_rate = nan (from --set): expected a finite number."),
    setting(
        f"baseline.optim.epochs={HUGE}",
        f"baseline.optim.epochs = {HUGE} (from --set): expected a number of at most 64 bits.",
    ),
    setting("baseline.optim.epochs=1000000000", "expected an integer >= 0 and <= 1,000,000."),
    setting("baseline.optim.batch_size=1000000000000", "expected an integer >= 1 and <= 16,777,216."),
    setting("compute.eval_batch_size=1000000000000", "expected an integer >= 1 and <= 16,777,216."),
    setting("compute.eval_batch_size=0", "expected an integer >= 1 and"),
    setting(
        "compute.workers=1000000", "compute.workers = 1000000 (from --set): expected an integer >= 0 and <= 1,024."
    ),
    setting("augment.size=10000000", "augment.size = 10000000 (from --set): expected an integer >= 1 and <= 4,096."),
    setting("augment.shift=10000000", "augment.shift = 10000000 (from --set): expected an integer"),
    setting("backbone.projection=0", "backbone.projection = 0 (from --set): expected an integer"),
    setting("backbone.unused=perhaps", "expected one of 'error', 'allow'."),
    setting("backbone=3", "backbone = 3 (from --set): expected a table"),
    setting("methods=3", "methods = 3 (from --set): expected a list"),
    setting("seed=1.5", "seed = 1.5 (from --set): expected an integer"),
    setting(f"baseline.optim.lr={DEEP}", "--set baseline.optim.lr: nested too deeply; 32 tables and lists"),
    setting("a" + 5000 * ".a" + "=1", "nested too deeply; 32 tables and lists"),
    setting("compute.device=tpu", "expected one of 'auto', 'cpu', 'cuda', 'mps'."),
    setting("compute.precision=fp8", "compute.precision = 'fp8' (from --set): expected one of"),
    setting("experts.reject_ratio=8", "'experts' takes no part in this run"),
    Bad((*BASELINE, *TINY, *settings(compute={"precision": "fp16", "device": "cpu"})), 2, "needs an accelerator"),
    Bad((*BASELINE, *TINY, "--set", "backbone.kwargs.colour=1"), 2, "backbone 'resnet10' does not take"),
    Bad((*BASELINE, *TINY, "--set", "backbone.kwargs.widths=[]"), 2, "backbone 'resnet10' "),
    Bad((*BASELINE, *TINY, "--set", "backbone.kwargs.widths=[2000000, 2000000, 16, 16]"), 1, "out of memory"),
    Bad((*BASELINE, *TINY, "--set", "baseline.optim.batch_size=1"), 2, "optim.batch_size = 1 is too small"),
    Bad((*BASELINE, *TINY, "--set", "baseline.checkpoint=nowhere.pth"), 2, "checkpoint = nowhere.pth: No such file"),
    Bad((*BASELINE, *TINY, "--set", "baseline.checkpoint=."), 2, "checkpoint = .: Is a directory"),
    Bad((*BASELINE, *TINY, "--set", "backbone.checkpoint=a.pth"), 4, "is no PyTorch file", {"a.pth": "hello"}),
    Bad(RESNET10_FROM_RESNET18, 4, "holds 40 weights that this model does not have ('layer1.1.bn1.bias', "),
    Bad((*BASELINE, "-d", "folder", "--dry-run"), 4, "root"),
    Bad((*BASELINE, "-d", "folder", "--data-root", "absent", "--dry-run"), 4, "absent"),
]

PROCESSES = [
    world("WORLD_SIZE=abc in the environment: expected an integer >= 1.", WORLD_SIZE="abc"),
    world("WORLD_SIZE=0 in the environment: expected an integer >= 1.", WORLD_SIZE=0),
    world("but RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT are not set", WORLD_SIZE=2),
    world("but MASTER_ADDR, MASTER_PORT are not set", WORLD_SIZE=2, RANK=0, LOCAL_RANK=0),
    world("but RANK, MASTER_ADDR, MASTER_PORT are not set", LOCAL_RANK=0),
    world("RANK=5 in the environment does not go with WORLD_SIZE=2", WORLD_SIZE=2, RANK=5),
    world("RANK=first in the environment: expected an integer >= 0.", WORLD_SIZE=2, RANK="first"),
    world("LOCAL_WORLD_SIZE=x in the environment", LOCAL_WORLD_SIZE="x"),
    world(
        "MASTER_PORT=x in the environment", WORLD_SIZE=2, RANK=0, LOCAL_RANK=0, MASTER_ADDR="127.0.0.1", MASTER_PORT="x"
    ),
    world(
        "this process is one of 2 that torchrun or accelerate launch has started",
        *("--num-processes", "2"),
        **{"WORLD_SIZE": 2, "RANK": 0, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1234},
    ),
    Bad((*BASELINE, *TINY), 4, "cannot be written", {"a_file": ""}, {"LTBENCH_CACHE": "a_file/cache"}),
]

UNFUSED = [
    Bad(
        ("run", "-m", "experts", *TINY_EXPERTS, "--set", "fusers=[]", *dry),
        2,
        "the members of method 'experts' must be fused, each answers on its own: choose a fuser with --fuser",
    )
    for dry in ((), ("--dry-run",))
] + [
    Bad((*BASELINE, "-m", "uniform", *TINY, "--set", "fusers=[]", *dry), 2, "make one ensemble, which must be fused")
    for dry in ((), ("--dry-run",))
]

PLUGIN_CODE = [
    odd("init_fails", 3, "method 'odd' of plugin 'init_fails' (init_fails.py) failed in its constructor with KeyError"),
    odd("build_exits", 3, "failed in build with SystemExit: 0.", "--dry-run"),
    odd("fit_fails", 3, "method 'odd' of plugin 'fit_fails' (fit_fails.py) failed in fit with KeyError: 'lost'."),
    odd("fit_exits", 3, "failed in fit with SystemExit: 0."),
    odd("loss_exits", 3, "method 'odd' of plugin 'loss_exits' (loss_exits.py) failed in fit with SystemExit"),
    odd("loss_eof", 3, "failed in fit with EOFError"),
    odd("loss_needs_memory", 1, "Lower METHOD.optim.batch_size, cut batches with compute.gradient_accumulation"),
    odd(
        "head_is_narrow", 3, "the head of member 'all' answers logits of shape (2, 3) to 2 samples; (2, 9) was expected"
    ),
    odd("head_is_narrow", 3, "(2, 9) was expected", "--dry-run"),
    odd("head_misfits", 3, "failed in the head of member 'all' with RuntimeError", "--dry-run"),
    odd("no_members", 1, "built members []: at least one", "--dry-run"),
    plugin("dataset_fails.py", 3, "dataset 'weird' of plugin 'dataset_fails'", *BASELINE, "-d", "weird", "--dry-run"),
    plugin("dataset_exits.py", 3, "failed in its constructor with SystemExit: 0.", *BASELINE, "-d", "weird"),
    plugin("dataset_fails.py", 3, "failed in counts with KeyError", "data", "stats", "weird"),
    plugin("fuser_fails.py", 3, "fuser 'strange' of plugin 'fuser_fails'", "fuse", "{logits}", "-f", "strange"),
    plugin("fuser_exits.py", 3, "failed in log_posterior with SystemExit: 0.", "fuse", "{logits}", "-f", "strange"),
    plugin("fuser_is_narrow.py", 1, "a posterior over 4 classes was expected", "fuse", "{logits}", "-f", "strange"),
    plugin(
        "hook_exits.py", 3, "ltbench_after_epoch failed: SystemExit: 0", *BASELINE, *QUICK, LTBENCH_STRICT_PLUGINS="1"
    ),
]

OTHER_COMMANDS = [
    Bad(("fuse", "nowhere", "-f", "soft"), 4, "'nowhere' is neither a run in "),
    Bad(("fuse", "{logits}"), 2, "Missing option '-f' / '--fuser'."),
    Bad(("fuse", "{logits}", "-f", "joit"), 2, "unknown fuser 'joit'. Did you mean 'joint'?"),
    Bad(("fuse", "{logits}", "-f", "joint", "--set", "experts.x=1"), 2, "only settings of the chosen fusers (joint)"),
    Bad(("fuse", "{logits}", "-f", "joint", "--set", "joint.l3=1"), 2, "Did you mean 'l2'?"),
    Bad(("fuse", "{logits}", "-f", "joint", "--set", "joint.l2=nan"), 2, "expected a finite number."),
    Bad(("fuse", "{logits}", "-f", "joint", "--folds", "papers"), 2, "papers"),
    Bad(("fuse", "{logits}", "-f", "soft", "--results", "r"), 2, "--results keeps records of runs"),
    Bad(("fuse", ".", "-f", "soft"), 4, "members.json is not JSON", {"members.json": "{"}),
    Bad(("fuse", ".", "-f", "soft"), 4, "run.json is damaged: it carries no checksum", {"run.json": "{}"}),
    Bad(("analyze", "nowhere"), 4, "'nowhere' is neither a run in "),
    Bad(("analyze",), 2, "Missing argument 'RUN'."),
    Bad(("analyze", "."), 4, "run.json is damaged", {"run.json": "{"}),
    Bad(("analyze", "."), 4, "run.json is damaged", {"run.json": "[]"}),
    Bad(("reproduce", "table99"), 2, "table99"),
    Bad(("reproduce", "table6", "--seeds", "x"), 2, "--seeds x: expected distinct numbers"),
    Bad(("reproduce", "table6", "--set", "nonsense.x=1"), 2, "nonsense"),
    Bad(("leaderboard", "--results", "absent"), 4, "absent"),
    Bad(("leaderboard", "--results", "{records}", "--write", "--check"), 2, "exclude each other"),
    Bad(("leaderboard", "--results", "{records}", "--check"), 1, "LEADERBOARD.md is missing."),
    Bad(("leaderboard", "--results", "{records}", "--write", "--folds", "kang"), 2, "--folds shows another view"),
    Bad(("leaderboard", "--results", "{records}", "--folds", "papers"), 2, "papers"),
    Bad(("leaderboard", "--results", "{records}", "--dataset", "nowhere"), 4, "nowhere"),
    Bad(("compare", "experts"), 2, "Missing argument 'B'."),
    Bad(("compare", "experts", "base", "--results", "{records}"), 2, "no record or row is called 'experts'."),
    Bad(("verify",), 2, "Missing argument 'RECORD...'."),
    Bad(("verify", "absent.json"), 2, "Path 'absent.json' does not exist."),
    Bad(("list",), 2, "Missing argument"),
    Bad(("list", "nonsense"), 2, "is not one of 'methods', 'fusers', 'datasets', 'plugins', 'runs'"),
    Bad(("show", "nothing"), 2, "nothing is called 'nothing'."),
    Bad(("show",), 2, "Missing argument 'NAME'."),
    Bad(("doctor", "me"), 2, "Got unexpected extra argument (me)"),
    Bad(("data", "nonsense"), 2, "No such command 'nonsense'"),
    Bad(("data", "list", "--nonsense"), 2, "No such option '--nonsense'"),
    Bad(("data", "fetch", "glyphs-lt"), 2, "there is nothing to fetch for 'glyphs-lt'."),
    Bad(("data", "fetch", "nonsense"), 2, "unknown dataset 'nonsense'."),
    Bad(("data", "check", "nonsense"), 2, "unknown dataset 'nonsense'."),
    Bad(("data", "check", "folder"), 4, "root"),
    Bad(("data", "check", "folder", "--data-root", "absent"), 4, "the data root absent is no folder."),
    Bad(("data", "check", "glyphs-lt", "--set", "nonsense=1"), 2, "nonsense = 1"),
    Bad(("data", "pack", "glyphs-lt"), 2, "nothing to pack"),
    Bad(("data", "stats", "glyphs-lt", "--folds", "papers"), 2, "papers"),
    Bad(("data", "stats", "glyphs-lt", "--figure", "."), 2, "File '.' is a directory."),
    Bad(("plugin", "test", "nobody"), 2, "'nobody' is neither a file, nor an installed distribution with a plugin"),
    named("Mine", "use lower case letters"),
    named("class", "Python has it for a keyword"),
    named("true", "Python has it for a keyword"),
    named("baseline", "something of that name is installed"),
    named("joint", "something of that name is installed"),
    named("seed", "it means something else in 'ltbench run'"),
    named("all", "it means something else in 'ltbench run'"),
    named("json", "there is a Python module of that name"),
    named("torch", "there is a Python module of that name"),
    named("methods", "it means something else in 'ltbench run'"),
    Bad(("plugin", "new", "my-own"), 2, "my-own exists already", {"my-own": ""}),
    Bad(("plugin", "new", "my-own", "--directory", "a_file"), 2, "Directory 'a_file' is a file.", {"a_file": ""}),
    Bad(
        ("plugin", "new", "my-own", "--directory", "a_file/x"), 4, "cannot be written: Not a directory.", {"a_file": ""}
    ),
]

ROWS = [
    *BEFORE_ANY_COMMAND,
    *OPTIONS_OF_RUN,
    *SETTINGS_OF_RUN,
    *PROCESSES,
    *UNFUSED,
    *PLUGIN_CODE,
    *OTHER_COMMANDS,
]

SAMPLE = [
    BEFORE_ANY_COMMAND[0],
    BEFORE_ANY_COMMAND[6],
    next(row for row in OPTIONS_OF_RUN if "5000" in row.arguments and "--dry-run" in row.arguments),
    next(row for row in SETTINGS_OF_RUN if "baseline.optim.lr=inf" in row.arguments),
    next(row for row in SETTINGS_OF_RUN if row.arguments is RESNET10_FROM_RESNET18),
    PROCESSES[0],
    UNFUSED[1],
    next(row for row in PLUGIN_CODE if "loss_exits.py" in row.arguments),
    next(row for row in PLUGIN_CODE if "fuser_exits.py" in row.arguments),
    next(row for row in OTHER_COMMANDS if row.arguments[:3] == ("plugin", "new", "class")),
]
"""One of each kind, for a process of its own."""
