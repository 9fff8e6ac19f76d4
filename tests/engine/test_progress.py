"""Progress of loops outside the training loop."""

import pytest

from ltbench.engine.machine.progress import Reporter


def test_steps_are_counted_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes rich take standard error for a terminal
    with Reporter().steps("generative model", 3) as advance:
        for _ in range(3):
            advance()
    captured = capsys.readouterr()
    assert "generative model" in captured.err
    assert "3/3" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("quiet", [True, False])
def test_nothing_is_shown_elsewhere(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet).steps("generative model", 3) as advance:
        advance()
    assert capsys.readouterr().err == ""
