"""No test split is opened while a method is built or trained, or a fuser is fitted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from ltbench.errors import PluginError

_closed_while: list[str] = []
"""What goes on in this process, in any thread, while no test split may be opened; the latest last."""


@contextmanager
def no_test_split(doing: str) -> Iterator[None]:
    """No :meth:`ltbench.data.Dataset.split` of this process answers ``test`` meanwhile, whoever made the dataset.

    It guards ``split`` alone: image files, packed copies and what was opened before are not seen.

    Args:
        doing: what goes on, for the message: ``method 'x' is trained``. May be nested.
    """
    _closed_while.append(doing)
    try:
        yield
    finally:
        _closed_while.remove(doing)


def guarded(split: Callable[..., Any]) -> Callable[..., Any]:
    """A dataset's ``split`` that heeds :func:`no_test_split`."""

    @wraps(split)
    def asked(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "test" and _closed_while:
            raise PluginError(
                f"the test split of '{getattr(self, 'name', type(self).__name__)}' was opened while {_closed_while[-1]}: "
                "that split is the engine's alone. Train and choose on 'train' and 'val'."
            )
        return split(self, name, *args, **kwargs)

    return asked
