"""Change one thing at a time in the code that decides numbers, and see whether the tests notice.

    python tests/mutation/run.py                          every target, one process
    python tests/mutation/run.py --target kl --target folds
    python tests/mutation/run.py --sample 20 --seed 3     a random part of the mutants
    python tests/mutation/run.py --write                  and keep the result: results.json, docs/mutation.md

``targets.toml`` says which modules there are and which tests guard them, ``equivalent.toml`` which mutants change nothing that
a test could see, with the reason. Exit code 1: a smaller share than ``--threshold`` was noticed, or ``equivalent.toml`` names a
mutant that does not exist.

A script of our own: cosmic-ray starts a process a mutant, most of whose time is the import of torch, and mutmut changes no
module-level constant, no dataclass field and no decorated function; neither removes a statement.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mutants import Mutant, mutants
from page import page
from trial import Trials

HERE = Path(__file__).resolve().parent

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Target:
    """Modules, and the tests that guard them: paths relative to the root."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


def main() -> int:
    arguments = _arguments()
    root, file = arguments.root.resolve(), arguments.targets.resolve()
    settings = tomllib.loads(file.read_text())
    targets = [Target(name, tuple(own["modules"]), tuple(own["tests"])) for name, own in settings["targets"].items()]
    if unknown := set(arguments.target or ()) - {target.name for target in targets}:
        sys.exit(f"no target {', '.join(sorted(unknown))}; {file.name} has {', '.join(t.name for t in targets)}")
    targets = [target for target in targets if not arguments.target or target.name in arguments.target]
    excused = _equivalent(file.with_name("equivalent.toml"))
    found = {target.name: _mutants_of(target, root) for target in targets}
    stale = _stale(excused, found)
    chosen = _sampled(found, excused, arguments.sample, arguments.seed)
    if arguments.again:
        chosen = _survivors_again(chosen, _results(file))
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        trials = Trials(Path(folder) / "copy", root, settings["copy"], settings["paths"], settings["preload"])
        answers = {target.name: _try(target, chosen[target.name], trials) for target in targets if chosen[target.name]}
    for entry in stale:
        print(f"equivalent.toml: no such mutant: {' | '.join(entry)}")
    if arguments.write:
        _write(file, root, {t: _summary(found[t.name], excused, answers.get(t.name, [])) for t in targets})
    tried = [answer for of_target in answers.values() for _, answer in of_target]
    survived = tried.count("survived")
    share = 1 - survived / max(1, len(tried))
    print(
        f"{len(tried)} mutants, {survived} survived: {share:.1%} noticed, at least {arguments.threshold:.1%} asked for"
    )
    return 1 if stale or share < arguments.threshold else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", help="a name in targets.toml; may be repeated (default: all)")
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants, drawn from all of the targets'")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--threshold", type=float, default=0.97, help="smallest share that must be noticed")
    parser.add_argument("--again", action="store_true", help="only those that survived in results.json, and new ones")
    parser.add_argument("--write", action="store_true", help="keep the result; not with --sample or --again")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the project")
    parser.add_argument("--targets", type=Path, default=HERE / "targets.toml")
    arguments = parser.parse_args()
    if arguments.write and (arguments.sample or arguments.again):
        parser.error("--write keeps whole runs: leave out --sample and --again")
    return arguments


def _equivalent(file: Path) -> set[Key]:
    """Keys of the mutants that are no faults; every entry has a reason."""
    entries = tomllib.loads(file.read_text()).get("equivalent", []) if file.is_file() else []
    if bare := [entry for entry in entries if not entry["reason"].strip()]:
        sys.exit(f"{file.name}: no reason given for {bare[0]}")
    return {(entry["module"], entry["where"], entry["old"], new) for entry in entries for new in entry["new"]}


def _mutants_of(target: Target, root: Path) -> list[Mutant]:
    return [
        mutant for module in target.modules for mutant in mutants(module, (root / module).read_text(encoding="utf-8"))
    ]


def _stale(excused: set[Key], found: dict[str, list[Mutant]]) -> list[Key]:
    """Excused mutants of these modules that do not exist."""
    keys = {mutant.key for of_target in found.values() for mutant in of_target}
    modules = {module for module, *_ in keys}
    return sorted(key for key in excused - keys if key[0] in modules)


def _sampled(found: dict[str, list[Mutant]], excused: set[Key], size: int | None, seed: int) -> dict[str, list[Mutant]]:
    """The mutants to try of each target."""
    counted = [(name, mutant) for name, own in found.items() for mutant in own if mutant.key not in excused]
    if size is not None and size < len(counted):
        counted = random.Random(seed).sample(counted, size)
    return {name: [mutant for owner, mutant in counted if owner == name] for name in found}


def _survivors_again(chosen: dict[str, list[Mutant]], results: dict[str, Any]) -> dict[str, list[Mutant]]:
    """Those of ``chosen`` that survived when they were last tried."""
    again = {
        name: {tuple(entry[part] for part in ("module", "where", "old", "new")) for entry in content["survivors"]}
        for name, content in results.items()
    }
    return {name: [mutant for mutant in own if mutant.key in again.get(name, ())] for name, own in chosen.items()}


def _try(target: Target, chosen: list[Mutant], trials: Trials) -> list[tuple[Mutant, str]]:
    guards = trials.guards(target.modules, target.tests)
    started, answers = time.perf_counter(), []
    for mutant in chosen:
        answers.append((mutant, trials.of(mutant, guards)))
        if answers[-1][1] != "killed":
            print(
                f"{answers[-1][1]}: {mutant.module}:{mutant.line} ({mutant.where})\n    - {mutant.old}\n    + {mutant.new}"
            )
    counts = Counter(answer for _, answer in answers)
    print(f"{target.name}: {dict(counts)} in {time.perf_counter() - started:.0f} s", flush=True)
    return answers


def _summary(found: list[Mutant], excused: set[Key], answers: list[tuple[Mutant, str]]) -> dict[str, Any]:
    counts = Counter(answer for _, answer in answers)
    return {
        "mutants": len(found),
        "killed": counts["killed"],
        "timeout": counts["timeout"],
        "equivalent": sum(mutant.key in excused for mutant in found),
        "survivors": [
            {part: getattr(mutant, part) for part in ("module", "where", "line", "old", "new")}
            for mutant, answer in answers
            if answer == "survived"
        ],
    }


def _results(file: Path) -> dict[str, Any]:
    path = file.with_name("results.json")
    return json.loads(path.read_text()) if path.is_file() else {}


def _write(file: Path, root: Path, summaries: dict[Target, dict[str, Any]]) -> None:
    """Replace these targets' results; the page is made from all that are kept."""
    date = datetime.now(UTC).date().isoformat()
    results = _results(file)
    for target, summary in summaries.items():
        results[target.name] = summary | {"date": date, "commit": _commit(root, [*target.modules, *target.tests])}
    results = {name: results[name] for name in tomllib.loads(file.read_text())["targets"] if name in results}
    file.with_name("results.json").write_text(
        json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (root / "docs" / "mutation.md").write_text(page(results), encoding="utf-8")


def _commit(root: Path, files: list[str]) -> str:
    """Short hash, with a + where ``files`` are not as they are in the commit; empty outside of git."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", root, *arguments], capture_output=True, text=True, check=False
        ).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", *files) else "")


if __name__ == "__main__":
    sys.exit(main())
