"""The top-level command: help, errors and exit codes, commands of plugins."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest
from manager.modules import having

import ltbench.cli
from ltbench.cli import invoke
from ltbench.cli.group import COMMANDS, cli
from ltbench.errors import DataError, LtbenchError, PluginError, UsageError
from ltbench.plugin import hookimpl

pytestmark = pytest.mark.usefixtures("having_also")

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Adds a command ``act`` that does what it is given."""

    def add(act: Callable[[], None]) -> None:
        cli.add_command(click.Command("act", callback=act))

    return add


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LtbenchError("the run failed."), 1),
        (UsageError("the value is wrong."), 2),
        (PluginError("the plugin is broken."), 3),
        (DataError("the file is gone."), 4),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(command, capsys: Captured, error: LtbenchError, code: int) -> None:
    command(raising(error))
    assert invoke(["act"]) == code
    assert capsys.readouterr().err == f"Error: {error}\n"


def test_brackets_in_an_error_are_no_markup(command, capsys: Captured) -> None:
    command(raising(DataError("logits have shape [3, 2]; expected [bold].")))
    invoke(["act"])
    assert capsys.readouterr().err == "Error: logits have shape [3, 2]; expected [bold].\n"


def test_an_unexpected_error_is_called_a_bug(command, capsys: Captured) -> None:
    command(raising(KeyError("lost")))
    assert invoke(["act"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("Error: unexpected KeyError: 'lost'. This is a bug in ltbench or in a plugin")
    assert "Traceback" not in printed


@pytest.mark.parametrize("error", [KeyError("lost"), UsageError("the value is wrong.")])
def test_debug_shows_the_traceback(command, capsys: Captured, error: Exception) -> None:
    command(raising(error))
    invoke(["--debug", "act"])
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "in raising" in printed or "in act" in printed
    assert "Error: " in printed.splitlines()[-1]


def test_an_interrupt_is_130(command, capsys: Captured) -> None:
    command(raising(KeyboardInterrupt()))
    assert invoke(["act"]) == 130
    assert capsys.readouterr().err.split() == ["Error:", "interrupted."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], "Error: No such command 'runn'. Did you mean 'run'? See 'ltbench --help'."),
        (["--nonsense"], "Error: No such option '--nonsense'. See 'ltbench --help'."),
        (
            ["list", "nonsense"],
            "is not one of 'methods', 'fusers', 'datasets', 'plugins', 'runs'. See 'ltbench list --help'.",
        ),
        (["--plugin", "no_such_file.py", "list", "methods"], "File 'no_such_file.py' does not exist."),
    ],
)
def test_a_wrong_command_line_is_2(capsys: Captured, arguments: list[str], message: str) -> None:
    assert invoke(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_without_a_command_it_shows_the_help(capsys: Captured) -> None:
    assert invoke([]) == 2
    assert "Usage: ltbench" in capsys.readouterr().out


def test_the_help_lists_every_command_and_nothing_is_listed_that_is_not_there(capsys: Captured) -> None:
    assert invoke(["--help"]) == 0
    printed = capsys.readouterr().out
    folder = Path(ltbench.cli.__file__).parent / "commands"
    modules = {path.stem for path in [*folder.glob("*.py"), *(file.parent for file in folder.glob("*/__init__.py"))]}
    there = {name for name in modules if hasattr(import_module(f"ltbench.cli.commands.{name}"), "command")}
    described = {name: summary for commands in COMMANDS.values() for name, summary in commands.items()}
    assert set(described) == there
    for summary in described.values():
        assert summary in printed


@pytest.mark.parametrize("name", [name for names in COMMANDS.values() for name in names])
def test_every_command_that_is_listed_can_be_asked_for_its_help(name: str, capsys: Captured) -> None:
    assert invoke([name, "--help"]) == 0
    assert f"Usage: ltbench {name}" in capsys.readouterr().out


def test_the_commands_help_is_the_commands_own(capsys: Captured) -> None:
    assert invoke(["show", "--help"]) == 0
    assert "every hyperparameter" in capsys.readouterr().out


def test_a_plugin_adds_a_command(having_also: Callable[..., None], capsys: Captured) -> None:
    @hookimpl
    def ltbench_commands(cli: click.Group) -> None:
        @cli.command()
        def hello() -> None:
            "Say hello."
            click.echo("hello")

    having_also(having(distribution="polite", ltbench_commands=ltbench_commands))
    assert invoke(["hello"]) == 0
    assert capsys.readouterr().out == "hello\n"
    assert invoke(["--help"]) == 0
    assert "Say hello." in capsys.readouterr().out


def test_no_plugin_replaces_a_command(having_also: Callable[..., None], capsys: Captured) -> None:
    @hookimpl
    def ltbench_commands(cli: click.Group) -> None:
        cli.add_command(click.Command("list", callback=lambda: click.echo("mine"), help="Mine."))

    having_also(having(distribution="rude", ltbench_commands=ltbench_commands))
    assert invoke(["--help"]) == 0
    printed = capsys.readouterr()
    assert "(rude 1.0) is broken: ltbench_commands failed: ValueError: there is already a command 'list'" in printed.err
    assert "List methods, fusers" in printed.out


def test_plugin_files_are_loaded_before_the_command(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "a_plugin_with_a_command.py"
    path.write_text(
        "import click\n"
        "from ltbench.plugin import hookimpl\n"
        "@hookimpl\n"
        "def ltbench_commands(cli):\n"
        "    cli.add_command(click.Command('greet', callback=lambda: click.echo('good day'), help='Greet.'))\n"
    )
    assert invoke(["--plugin", str(path), "greet"]) == 0
    assert capsys.readouterr().out == "good day\n"


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    code = "from ltbench.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    process.stdout.close()
    _, printed = process.communicate()
    assert printed == ""
    assert process.returncode == 1
