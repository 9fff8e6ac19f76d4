"""The page of the last results: docs/mutation.md."""

from typing import Any

_TOP = """# Mutation

How much of a small wrong change the tests notice. `tests/mutation/run.py` changes one thing at a time in a copy of the project
(a comparison, an operator, a constant, a condition, a bound, a returned value; a keyword or a statement left out) and runs the
tests that guard the module. A mutant is *killed* when one of them fails, *out of time* when they take five times as long, and
*survives* when all pass. Mutants that are no faults (another bound on memory, a tie that cannot occur) are
*equivalent*: `tests/mutation/equivalent.toml` lists each with its reason, and they are not tried. Which modules are mutated and
which tests guard them stands in `tests/mutation/targets.toml`.

This page is written by `python tests/mutation/run.py --write`, with `--target NAME` for one row. A + after
the commit: the files were not as they are there. The test suite tries a small sample only.

| target | mutants | killed | out of time | equivalent | survived | noticed | date | commit |
|---|---:|---:|---:|---:|---:|---:|---|---|
"""


def page(results: dict[str, Any]) -> str:
    """Markdown of the results, target by target, and of the mutants that survived."""
    rows = [_row(name, content) for name, content in results.items()]
    total = {part: sum(content[part] for content in results.values()) for part in _COUNTS}
    total["survivors"] = [mutant for content in results.values() for mutant in content["survivors"]]
    rows.append(_row("**all**", total | {"date": "", "commit": ""}))
    return _TOP + "".join(rows) + _survivors(total["survivors"])


_COUNTS = ("mutants", "killed", "timeout", "equivalent")


def _row(name: str, content: dict[str, Any]) -> str:
    survived = len(content["survivors"])
    noticed = content["killed"] + content["timeout"]
    share = f"{noticed / max(1, noticed + survived):.1%}"
    counts = [content[part] for part in _COUNTS]
    return f"| {' | '.join(map(str, [name, *counts, survived, share, content['date'], content['commit']]))} |\n"


def _survivors(mutants: list[dict[str, Any]]) -> str:
    if not mutants:
        return "\nNone survived.\n"
    lines = [
        f"{mutant['module']}:{mutant['line']} ({mutant['where']})\n  - {mutant['old']}\n  + {mutant['new']}\n"
        for mutant in mutants
    ]
    return "\n## Survivors\n\n```diff\n" + "".join(lines) + "```\n"
