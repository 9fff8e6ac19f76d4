"""Which of how many processes this is, as the environment says it; what it says wrongly is in test_bad_inputs.py."""

import os

import pytest

from ltbench.engine.machine.world import World, read_world, usable_cores

JOINED = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "world"),
    [
        ({}, World(1, 0, 1)),
        ({"WORLD_SIZE": ""}, World(1, 0, 1)),
        ({"WORLD_SIZE": "1", "RANK": "0"}, World(1, 0, 1)),
        (JOINED, World(4, 3, 4)),
        ({**JOINED, "LOCAL_WORLD_SIZE": "2"}, World(4, 3, 2)),
        ({**JOINED, "WORLD_SIZE": "1", "RANK": "0"}, World(1, 0, 1)),
    ],
)
def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], world: World) -> None:
    for name in (*JOINED, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert read_world() == world


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
