"""Packages of ``ltbench plugin new``, as their author installs and renames them."""

import tomllib
from pathlib import Path

KINDS = ("loss", "method", "second-stage", "fuser", "dataset")


def installed(project: Path) -> Path:
    """The folder of a project, for the search path, with what an editable install leaves: metadata with its entry points."""
    said = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = project / f"{said['name'].replace('-', '_')}-{said['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {said['name']}\nVersion: {said['version']}\n")
    points = said["entry-points"]["ltbench"].items()
    (info / "entry_points.txt").write_text("[ltbench]\n" + "".join(f"{name} = {module}\n" for name, module in points))
    return project


def renamed(project: Path, to: Path) -> Path:
    """A copy in which everything that has a name has another: distribution, package, module, class and what is registered.

    The tests are copied as they are.
    """
    name = project.name
    stem = name.replace("-", "_")
    (package,) = project.glob(f"ltbench_{stem}")
    (module,) = (path for path in package.glob("*.py") if path.stem != "__init__")
    class_name = "".join(part.capitalize() for part in name.split("-"))
    changes = {
        f"ltbench_{stem}.{module.stem}": f"other_{stem}.core",
        f"ltbench_{stem}": f"other_{stem}",
        f"ltbench-{name}": f"of-somebody-{name}",
        f'"{name}"': f'"renamed-{name}"',
        f"\n{name} = ": f"\npoint-{name} = ",
        class_name: f"Renamed{class_name}",
    }
    for path in sorted(path for path in project.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        place, text = path.relative_to(project).as_posix(), path.read_text(encoding="utf-8")
        if ".dist-info/" in place:
            continue
        if not place.startswith("tests/"):
            for old, new in changes.items():
                text = text.replace(old, new)
            place = place.replace(f"ltbench_{stem}/{module.name}", f"ltbench_{stem}/core.py")
            place = place.replace(f"ltbench_{stem}/", f"other_{stem}/")
        (to / place).parent.mkdir(parents=True, exist_ok=True)
        (to / place).write_text(text, encoding="utf-8")
    return to


def names_in(project: Path) -> set[str]:
    """What a test must not say: the names that an author may change."""
    stem = project.name.replace("-", "_")
    class_name = "".join(part.capitalize() for part in project.name.split("-"))
    return {project.name, f"ltbench_{stem}", f"ltbench-{project.name}", class_name}
