"""What may be a name: of a method, a fuser, a dataset, wherever it comes from. Names become names of files. No torch."""

import re

LONGEST = 100
"""Characters of a name."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_DISTRIBUTION = re.compile(r"\w[\w. +-]*:")

RULE = "lower case letters, digits, '-' and '_', starting with a letter or digit"
"""What :func:`is_name` takes, in words."""


def is_name(text: str) -> bool:
    """A slug: what a plugin may register."""
    return len(text) <= LONGEST and _NAME.fullmatch(text) is not None


def is_qualified_name(text: str) -> bool:
    """A slug, or ``distribution:slug`` as it is typed where two plugins register one name."""
    found = _DISTRIBUTION.match(text)
    return len(text) <= LONGEST and is_name(text[found.end() :] if found else text)
