"""Which modules a computation's code is made of, followed in the sources of small packages."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import pytest

from ltbench.common.canonical import digest
from ltbench.engine.keys.code import DIGITS, Code
from ltbench.engine.keys.memo import Memo
from ltbench.engine.keys.syntax import read_syntax
from ltbench.errors import PluginError
from ltbench.registry.manager import use_plugin_files


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes modules below a folder that Python looks in: ``package({"pack/one.py": "x = 1"})``."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder

    yield write
    for name in [name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def code(*packages: str, stops: tuple[str, ...] = ()) -> Code:
    return Code(packages, stops, read_syntax)


FOLLOWED = {
    "at the top": "import pack.other",
    "a name of a module": "from pack.other import thing",
    "a submodule of a package": "from pack import other",
    "in a function": "def f():\n    import pack.other",
    "relative": "from . import other",
    "relative name": "from .other import thing",
    "under another name": "import pack.other as o",
    "by a written name": "from importlib import import_module\nimport_module('pack.other')",
    "through its package": "import pack\nuse = pack.other.thing",
    "where the other import fails": "try:\n    import nothing_like_that\nexcept ImportError:\n    import pack.other",
}


@pytest.mark.parametrize("how", FOLLOWED)
def test_imports_are_followed(how: str, package: Callable[..., Path]) -> None:
    package({"pack/__init__.py": "", "pack/one.py": FOLLOWED[how], "pack/other.py": "thing = 1", "pack/third.py": ""})
    first = code().of(["pack.one"])
    assert set(first) == {"pack", "pack.one", "pack.other"}
    package({"pack/other.py": "thing = 2"})
    second = code().of(["pack.one"])
    assert {name for name in second if second[name] != first[name]} == {"pack.other"}


NOT_FOLLOWED = {
    "for type checkers": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack import other",
    "the standard library": "import json",
    "installed packages": "import torch, numpy.linalg",
    "in a text": "'import pack.other'",
    "what is not there": "try:\n    import nothing_like_that\nexcept ImportError:\n    pass",
}


@pytest.mark.parametrize("how", NOT_FOLLOWED)
def test_imports_that_are_not_followed(how: str, package: Callable[..., Path]) -> None:
    package({"pack/__init__.py": "", "pack/one.py": NOT_FOLLOWED[how], "pack/other.py": ""})
    assert set(code().of(["pack.one"])) == {"pack", "pack.one"}


def test_a_module_need_not_have_been_imported_nor_be_fit_to_be(package: Callable[..., Path]) -> None:
    package({"pack/__init__.py": "raise SystemExit", "pack/one.py": "from . import other", "pack/other.py": "1 / 0"})
    assert set(code().of(["pack.one"])) == {"pack", "pack.one", "pack.other"}
    assert "pack" not in sys.modules


def test_what_is_imported_imports_in_turn_and_in_circles(package: Callable[..., Path]) -> None:
    package(
        {
            "pack/__init__.py": "from .base import Base",
            "pack/base.py": "from pack.one import x",
            "pack/sub/__init__.py": "from .. import far",
            "pack/sub/deep.py": "from ..one import x\nfrom . import near",
            "pack/sub/near.py": "",
            "pack/far.py": "",
            "pack/one.py": "from pack.sub.deep import y",
            "pack/unused.py": "",
        }
    )
    found = code().of(["pack.one"])
    assert set(found) == {f"pack{n}" for n in ("", ".base", ".one", ".far", ".sub", ".sub.deep", ".sub.near")}


def test_a_folder_without_init_is_a_package_too(package: Callable[..., Path]) -> None:
    package({"space/one.py": "from space import other", "space/other.py": ""})
    assert set(code().of(["space.one"])) == {"space.one", "space.other"}


def test_a_lazy_package_says_to_type_checkers_where_its_names_come_from(package: Callable[..., Path]) -> None:
    lazy = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from .home import Thing
def __getattr__(name):
    ...
"""
    package(
        {
            "lazy_pack/__init__.py": lazy,
            "lazy_pack/home.py": "Thing = 1",
            "user.py": "from lazy_pack import Thing",
            "other_user.py": "import lazy_pack\nuse = lazy_pack.Thing",
        }
    )
    for user in ("user", "other_user"):
        assert set(code("lazy_pack").of([user])) == {user, "lazy_pack", "lazy_pack.home"}


def test_the_names_that_ltbench_exports_lead_to_their_modules(package: Callable[..., Path]) -> None:
    package({"author.py": "from ltbench import Method, fold_accuracy\nfrom ltbench.data import Dataset, fold_rule"})
    found = set(code("ltbench", stops=("ltbench", "ltbench.data")).of(["author"]))
    assert {"ltbench.method", "ltbench.statistics.metrics", "ltbench.data.base", "ltbench.data.folds"} <= found
    assert not {"ltbench", "ltbench.data", "ltbench.cli"} & found
    for lazy in ("ltbench", "ltbench.data"):
        exported = set(import_module(lazy).__all__) - {"__version__"}
        assert exported == set(read_syntax(Path(import_module(lazy).__file__ or "").read_bytes()).typed) - {
            "__version__"
        }


def test_a_class_brings_its_bases(package: Callable[..., Path]) -> None:
    package(
        {
            "pack/__init__.py": "",
            "pack/base.py": "class Base: pass",
            "pack/one.py": "import sys\nclass One(sys.modules['pack.base'].Base): pass",
        }
    )
    import_module("pack.base")
    one = import_module("pack.one").One
    assert set(code("pack").of([one])) == {"pack", "pack.one", "pack.base"}


def test_a_stop_ends_the_way(package: Callable[..., Path]) -> None:
    package({"a.py": "import b", "b.py": "import c", "c.py": ""})
    assert set(code("b", "c").of(["a"])) == {"a", "b", "c"}
    assert set(code("b", "c", stops=("b",)).of(["a"])) == {"a"}


def test_of_installed_packages_only_the_named_ones_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    (folder / "mine_a.py").write_text("import mine_b, mine_c")
    for name in ("mine_b", "mine_c"):
        (folder / f"{name}.py").touch()
    assert set(code().of(["mine_a"])) == {"mine_a"}
    assert set(code("mine_c").of(["mine_a"])) == {"mine_a", "mine_c"}


def test_a_helper_beside_a_plugin_file_counts_though_python_does_not_look_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltbench.registry.manager import plugins

    plugin = tmp_path / "plugin_with_helper.py"
    helper = tmp_path / "its_helper.py"
    plugin.write_text(
        "import sys\nfrom pathlib import Path\nfrom ltbench.plugin import hookimpl\n"
        "sys.path.insert(0, str(Path(__file__).parent))\nfrom its_helper import RATE\nsys.path.pop(0)\n"
        "@hookimpl\ndef ltbench_methods(): return []\n"
    )
    helper.write_text("RATE = 1")
    monkeypatch.setattr("ltbench.registry.manager._files", ())
    monkeypatch.setattr("ltbench.registry.manager._loaded", None)
    use_plugin_files([plugin])
    assert "ok" in {record.status for record in plugins().records if record.name == "plugin_with_helper"}
    first = code("plugin_with_helper").of(["plugin_with_helper"])
    assert set(first) == {"plugin_with_helper", "its_helper"}
    helper.write_text("RATE = 2")
    del sys.modules["its_helper"]
    second = code("plugin_with_helper").of(["plugin_with_helper"])
    assert second["its_helper"] != first["its_helper"]
    del sys.modules["plugin_with_helper"]


READERS = {
    "beside the file": "from pathlib import Path\nPath(__file__).with_name('prior.json')",
    "below the file": "from pathlib import Path\nPath(__file__).parent / 'facts' / 'prior.json'",
    "by a path": "import os\nopen(os.path.join(os.path.dirname(__file__), 'facts/prior.json'))",
    "as a resource": "from importlib.resources import files\nfiles('pack') / 'prior.json'",
    "as a resource of another package": "from importlib.resources import files\nfiles('pack.facts') / 'prior.json'",
}


@pytest.mark.parametrize("how", READERS)
def test_a_data_file_that_a_module_names_counts(how: str, package: Callable[..., Path]) -> None:
    where = "pack/facts/prior.json" if "facts" in READERS[how] else "pack/prior.json"
    package({"pack/__init__.py": "", "pack/one.py": READERS[how], where: "1", "pack/other.json": "1"})
    first = code().of(["pack.one"])
    assert set(first) == {"pack", "pack.one", where}
    package({where: "2", "pack/other.json": "2"})
    second = code().of(["pack.one"])
    assert {name for name in second if second[name] != first[name]} == {where}


def test_a_file_that_a_module_writes_elsewhere_does_not_count(package: Callable[..., Path]) -> None:
    package({"pack/__init__.py": "", "pack/one.py": "open('log.csv', 'w')", "pack/log.csv": "1"})
    assert set(code().of(["pack.one"])) == {"pack", "pack.one"}


def test_a_compiled_module_counts_by_its_bytes(package: Callable[..., Path]) -> None:
    from importlib.machinery import EXTENSION_SUFFIXES

    fast = f"pack/fast{EXTENSION_SUFFIXES[0]}"
    package({"pack/__init__.py": "", "pack/one.py": "from . import fast", fast: "machine code"})
    first = code().of(["pack.one"])
    package({fast: "other machine code"})
    assert code().of(["pack.one"])["pack.fast"] != first["pack.fast"]


def test_what_runs_counts_not_what_was_written_since(package: Callable[..., Path]) -> None:
    package({"pack/__init__.py": "", "pack/one.py": "x = 1"})
    module, all_code = import_module("pack.one"), code()
    first = all_code.of(["pack.one"])
    folder = package({"pack/one.py": "x = 22"})
    assert all_code.of(["pack.one"]) == first, "edited while the process runs the old one"
    import importlib

    importlib.reload(module)
    assert module.x == 22, folder
    assert all_code.of(["pack.one"]) != first


def test_a_module_that_is_no_python_is_named_with_its_line(package: Callable[..., Path]) -> None:
    folder = package({"pack/__init__.py": "", "pack/one.py": "from . import bad", "pack/bad.py": "x = 1\ndef"})
    with pytest.raises(
        PluginError, match=rf"module 'pack\.bad' is no Python \({folder}/pack/bad\.py:2: invalid syntax\)"
    ):
        code().of(["pack.one"])


def test_a_root_without_source_is_an_error() -> None:
    with pytest.raises(PluginError, match="source of module 'nowhere.to_be_found' cannot be found"):
        code().of(["nowhere.to_be_found"])


def test_the_order_of_the_roots_does_not_matter(package: Callable[..., Path]) -> None:
    package({"a.py": "x = 1", "b.py": "y = 1"})
    first = code().of(["a", "b"])
    assert digest(code().of(["b", "a"])) == digest(first)
    assert set(first) == {"a", "b"}
    assert all(len(part) == DIGITS for part in first.values())


def test_the_memo_gives_what_was_read(tmp_path: Path) -> None:
    source = b"import a.b\ndef __getattr__(name):\n    return __file__, 'x.json'\nfrom typing import *\n"
    first = Memo(tmp_path)
    assert first.syntax(source) == read_syntax(source)
    first.save()
    assert Memo(tmp_path).syntax(source) == read_syntax(source)


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text[:-9], lambda text: text.replace("a.b", "a.c")])
def test_a_damaged_memo_is_made_again(
    damage: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = b"import a.b"
    memo = Memo(tmp_path)
    memo.syntax(source)
    memo.save()
    memo.path.write_text(damage(memo.path.read_text()))
    assert Memo(tmp_path).syntax(source) == read_syntax(source)
    assert "is made again" in capsys.readouterr().err
