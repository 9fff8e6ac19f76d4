"""What a run will do, as hooks are told: stages to train, posteriors to evaluate."""

from dataclasses import dataclass
from pathlib import Path

from ltbench.config import RunConfig
from ltbench.results.record import Role
from ltbench.results.stage import Stage

__all__ = ["NO_FUSER", "Evaluation", "Role", "Run", "Stage"]

NO_FUSER = "none"
"""Fuser of a method with one member over all classes, taken as it is."""


@dataclass(frozen=True)
class Evaluation:
    """One posterior to measure, one record.

    Attributes:
        methods: whose members are fused.
        fuser: its name, or ``none``.
        role: ``run``: asked for, or a method asked for, alone; ``reference``: one that others start from or have to beat
            (``MethodSpec.reference``), alone; ``control``: that one, calibrated, or a control of a method asked for
            (``MethodSpec.controls``), alone.
        beside: not asked for.
    """

    methods: tuple[str, ...]
    fuser: str
    role: Role
    beside: bool = False

    @property
    def label(self) -> str:
        """As the run's table names it: the methods, and the fuser if there is one."""
        return "+".join(self.methods) + ("" if self.fuser == NO_FUSER else f" / {self.fuser}")


@dataclass(frozen=True)
class Run:
    """A planned run; what hooks are given.

    Attributes:
        name: readable and unique for its settings and seed; the folder below ``<cache>/runs``.
        config: complete settings.
        stages: in the order of training.
        evaluations: in the order of the table.
        folder: where ``run.json`` and the records go.
    """

    name: str
    config: RunConfig
    stages: list[Stage]
    evaluations: list[Evaluation]
    folder: Path
