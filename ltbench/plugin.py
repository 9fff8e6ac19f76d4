"""What a plugin imports to register itself. Imports neither torch nor anything else that is slow.

A plugin is a module (or object) named by an entry point in the group ``ltbench``, or a file given with ``--plugin``.
Its hooks (:mod:`ltbench.hookspecs`) yield the records below; ``target`` is imported only when the name is used::

    from ltbench.plugin import MethodSpec, hookimpl

    @hookimpl
    def ltbench_methods():
        yield MethodSpec("mine", target="my_package.mine:Mine", summary="What it does, in a line.")

A plugin that needs a certain version of this interface says so with a module attribute ``ltbench_api_version = 2``;
the manager refuses one that asks for another version than :data:`API_VERSION`.
"""

import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import pluggy

from ltbench.common.names import LONGEST, RULE, is_name

__all__ = ["API_VERSION", "Check", "DatasetSpec", "FuserSpec", "MethodSpec", "Origin", "Spec", "hookimpl"]

API_VERSION = 2
"""Version of the plugin interface. It changes when a plugin written against the previous one would stop working."""

ENTRY_POINT_GROUP = "ltbench"

ALL = "all"
"""What ``--method`` takes for every method that says ``ensemble=True``, in the order of registration."""

hookspec = pluggy.HookspecMarker("ltbench")
hookimpl = pluggy.HookimplMarker("ltbench")
"""Decorator of a plugin's hooks: functions of its module, or methods of its object, named as in :mod:`ltbench.hookspecs`."""

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Spec:
    """What every registered thing has.

    Attributes:
        name: what the user types; lower case letters, digits, ``-`` and ``_``.
        target: ``module:Class``, imported when the name is used.
        summary: one line for ``ltbench list``.
        paper: where it is described, e.g. ``Sec. 3.3.5`` or a reference; shown by ``ltbench show``.
        kind: what messages call such a thing; of the class.

    Raises:
        ValueError: the name or the target is malformed.
    """

    kind: ClassVar[str] = "thing"

    name: str
    _: KW_ONLY
    target: str
    summary: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"{self.kind} name {self.name!r}: use {RULE}; at most {LONGEST} characters")
        if not _TARGET.fullmatch(self.target):
            raise ValueError(
                f"{self.kind} {self.name!r}: target {self.target!r} is not of the form 'package.module:Class'"
            )


@dataclass(frozen=True)
class MethodSpec(Spec):
    """A way to train one or more members; ``target`` is a subclass of :class:`ltbench.method.Method`.

    Attributes:
        requires: methods whose trained stage this one starts from (``context.stage(name)``).
        recipe: method whose recipe (``configs/<dataset>/<recipe>.toml``) gives this one's settings; its own recipe, if it has
            one, lies on top: a subclass of ``baseline`` says ``recipe="baseline"``. Keys its ``Config`` lacks are left out.
        controls: methods that are trained and evaluated beside this one in every run of it, each alone: what it has to
            beat. What a user sets of this method holds for them, too, as far as their ``Config`` has it.
        reference: a plain method that every other has to beat. It is trained and evaluated beside every run, alone and under
            the control fusers. It must have one member over all classes. What a user sets of the method that a run starts
            from holds for it, too, as far as its ``Config`` has it.
        partial: what it trains is not one member over all classes but several, or of some classes alone: it needs a fuser,
            and stands nowhere without. ``ltbench plugin test`` holds it true.
        fusers: those of its paper, which are used where neither a recipe nor the user says which. With ``partial``: what
            makes it run by its name alone.
        ensemble: takes part in ``--method all``.
        transductive: a member's logits for an image may depend on the other images of its batch; the rows of such a method
            are ranked in a track of their own. Without it the engine refuses members that do.

    Raises:
        ValueError: as :class:`Spec`, or the name is ``all``.
    """

    kind: ClassVar[str] = "method"

    _: KW_ONLY
    requires: tuple[str, ...] = ()
    recipe: str = ""
    controls: tuple[str, ...] = ()
    reference: bool = False
    partial: bool = False
    fusers: tuple[str, ...] = ()
    ensemble: bool = False
    transductive: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == ALL:
            raise ValueError(f"method name {ALL!r} stands for all methods with ensemble=True; choose another")


@dataclass(frozen=True)
class FuserSpec(Spec):
    """A way to turn members' logits into one posterior; ``target`` is a subclass of :class:`ltbench.fuser.Fuser`.

    Attributes:
        control: apply it to every reference and every required method alone, too, as the control beside each run: a
            calibration of one classifier, fitted on the same validation set, that an ensemble has to beat.
        transductive: the posterior of a sample may depend on the other test samples; its rows are ranked in a track of
            their own. Without it the engine refuses a fuser whose posterior does.
    """

    kind: ClassVar[str] = "fuser"

    _: KW_ONLY
    control: bool = False
    transductive: bool = False


class Origin(Protocol):
    """Where the files of a dataset come from. Asked without torch: its module imports nothing that is slow.

    Attributes:
        downloads: official files that a user has to get, each with the page it is on.
    """

    @property
    def downloads(self) -> tuple[str, ...]: ...

    def found(self, root: Path | None) -> tuple[str, str]:
        """In words, for ``ltbench data list``: which lists, and which images are there. ``root``: folder to look in."""

    def fetch(self, folder: Path | None) -> Iterator[tuple[Path, str]]:
        """Download what may be downloaded, into ``folder`` or the cache; each file, and what was done.

        Raises:
            DataError: no connection, a damaged download, or the folder cannot be written.
        """


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """A long-tailed dataset; ``target`` is a subclass of :class:`ltbench.data.base.Dataset`.

    Attributes:
        recipes: folder of ``<method>.toml`` recipes as ``package:folder``; empty: the folder that ltbench ships.
        origin: ``module:object`` of an :class:`Origin`; empty for a dataset that needs no files, or knows not where they
            come from.

    Raises:
        ValueError: as :class:`Spec`, or the origin is malformed.
    """

    kind: ClassVar[str] = "dataset"

    _: KW_ONLY
    recipes: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.origin and not _TARGET.fullmatch(self.origin):
            raise ValueError(
                f"dataset {self.name!r}: origin {self.origin!r} is not of the form 'package.module:object'"
            )


@dataclass(frozen=True)
class Check:
    """One line of ``ltbench doctor``.

    Attributes:
        name: what was looked at.
        ok: whether it is well.
        detail: what was found, or what to do.
    """

    name: str
    ok: bool
    detail: str = ""
