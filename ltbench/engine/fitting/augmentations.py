"""What the trainings of a stage did to images, in words: a method may ask for other views and mixing than the run's.

Rows are ranked together only where this is the same (:mod:`ltbench.results.track`). It is kept beside the checkpoints: a run
that goes on after it was killed calls only for the epochs and rounds that are left.
"""

from collections.abc import Iterable
from pathlib import Path

from ltbench.common.sealed import Damaged, read_json, set_aside, write_json
from ltbench.data.augmentation.augment_config import AugmentConfig, MixConfig, in_words


class Augmentations:
    """Those of one stage.

    Args:
        folder: of the checkpoints of the stage in the making.
        writes: this process may write.
    """

    def __init__(self, folder: Path, writes: bool) -> None:
        self._folder, self._writes = folder, writes
        self._path, self._of = folder / "augmentation.json", f"augmentation of {folder.parent.name}"
        self._found = self._read() if writes and self._path.exists() else set[str]()

    @property
    def found(self) -> list[str]:
        """Sorted; empty where nothing was trained on what the engine knows of."""
        return sorted(self._found)

    def note(self, tables: Iterable[AugmentConfig], mixing: MixConfig) -> None:
        """One training: a table for each of its views. Raises DataError where the place cannot be written."""
        seen = self._found | {in_words(table, mixing) for table in tables}
        if seen != self._found:
            self._found = seen
            if self._writes:
                write_json(self._path, {"found": self.found}, self._of)

    def _read(self) -> set[str]:
        try:
            return set(read_json(self._path, self._of)["found"])
        except Damaged as why:
            set_aside(self._folder, why, "the trainings of this stage start again")
            return set()
