"""Records of evaluations: one made before from the same stages, settings and code is taken again."""

from pathlib import Path

from ltbench.classes import Classes
from ltbench.common.canonical import digest
from ltbench.common.sealed import Damaged, read_json, set_aside, write_json
from ltbench.engine.evaluation.evaluate import Measured, make_fuser
from ltbench.engine.recording import RecordMaker
from ltbench.fuser import Fuser
from ltbench.plan import Evaluation, Run
from ltbench.results.logits import LogitsFolder
from ltbench.results.record import Record
from ltbench.results.store import checked_record
from ltbench.settings.recipe_files import dependency_order
from ltbench.settings.recipes import Resolved


class Evaluations:
    """Those of one run.

    Args:
        folder: where records are kept, each under the key of its evaluation.
    """

    def __init__(self, folder: Path, plan: Run, resolved: Resolved, maker: RecordMaker, classes: Classes) -> None:
        self.folder, self.plan, self.resolved, self.maker = folder, plan, resolved, maker
        self.classes = classes
        self._kept: dict[Evaluation, Record] = {}

    def recall(self, evaluation: Evaluation) -> Record | None:
        """The record that is kept; a damaged one is set aside."""
        if evaluation not in self._kept:
            key, path = self._place(evaluation)
            if path.exists():
                try:
                    content = read_json(path, f"evaluation {key}")
                    self._kept[evaluation] = checked_record(content["record"], path)
                except Damaged as why:
                    set_aside(path, why)
        return self._kept.get(evaluation)

    def make(self, evaluation: Evaluation, content: LogitsFolder) -> Record:
        """Fit the fuser, measure its posterior, keep the record. Raises DataError when the place cannot be written."""
        record = self.maker.record(evaluation, content, Measured(self._fuser(evaluation), content))
        key, path = self._place(evaluation)
        write_json(path, {"record": record.model_dump(mode="json")}, f"evaluation {key}", durable=False)
        return record

    def _place(self, evaluation: Evaluation) -> tuple[str, Path]:
        """Key and file: of these very weights, for a stage that is trained again may get others on a GPU."""
        order = dependency_order(evaluation.methods)
        weights = [stage.report()["weights_sha256"] for stage in self.plan.stages if stage.method in order]
        key = digest([self.maker.key(evaluation, type(self._fuser(evaluation))), weights])
        return key, self.folder / f"{key[:32]}.json"

    def _fuser(self, evaluation: Evaluation) -> Fuser:
        return make_fuser(evaluation.fuser, self.classes, self.resolved.fuser_configs.get(evaluation.fuser))
