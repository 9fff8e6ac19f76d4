"""What a user says of the settings of a run, on the command line."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """Beside methods, fusers and seeds; None or empty: nothing was said. The fields are arguments of
    :func:`ltbench.settings.recipes.resolve`.

    Attributes:
        dataset, backbone: names.
        root: folder of the dataset's images.
        on_bad_image: the dataset's option of that name.
        recipe: dataset whose recipes are taken.
        config_files: TOML files, the later above the earlier.
        overrides: ``KEY=VALUE``.
    """

    dataset: str | None = None
    root: Path | None = None
    on_bad_image: str | None = None
    recipe: str | None = None
    backbone: str | None = None
    config_files: tuple[Path, ...] = ()
    overrides: tuple[str, ...] = ()
