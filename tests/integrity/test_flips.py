"""A modest number of random flips; ``flips.py`` does more."""

from collections.abc import Callable
from pathlib import Path

from tiny import Outcome

from .flips import flips


def test_random_flips_never_give_other_numbers(
    ltb: Callable[..., Outcome], own_cache: Path, whole_experts: Path
) -> None:
    made = list(flips(20, 0, whole_experts, own_cache, ltb))
    assert len(made) == 20
    assert not [flip for flip in made if flip.wrong]
