"""docs/reference.md, from the docstrings of the public names."""

from collections.abc import Iterator
from functools import partial

from ltbench.reference.entry import described, documented, own_entries
from ltbench.reference.public import PARTS
from ltbench.reference.source import Object, Source
from ltbench.reference.text import Link, anchor, code

HEAD = """# Reference

Every name that users and authors of plugins may use, from the docstrings. What is not here is the harness's own and may change.
[writing-a-plugin.md](writing-a-plugin.md) shows how they are used, [architecture.md](architecture.md) how they hang together.

In shapes, B is the number of samples at hand, N that of a split, C that of the dataset's classes, K that of a member's, D that of
features and V that of views. This page is written by `python -m ltbench.reference --write`."""


def page(source: Source) -> str:
    """The page as markdown. Its links lead to headings of its own."""
    return "\n\n".join([HEAD, *_contents(source), *_parts(source)]) + "\n"


def _contents(source: Source) -> Iterator[str]:
    for part, modules in PARTS.items():
        yield f"**{part}**"
        yield "\n".join(f"- [{code(module)}](#{anchor(module)}){_names(source, module)}" for module in modules)


def _names(source: Source, module: str) -> str:
    names = ", ".join(_to(source, path) for path in _own(source, module))
    return f": {names}" if names else ""


def _own(source: Source, module: str) -> list[str]:
    """Public paths of what is described at a module, in the order of its source where it is defined there."""
    paths = [path for path in source.described if path.rpartition(".")[0] == module]
    return sorted(paths, key=lambda path: source.described[path].lineno if source.described[path].path == path else 0)


def _parts(source: Source) -> Iterator[str]:
    for module in source.modules:
        yield f"## {module}"
        yield from documented(source.modules[module], _linked(source, source.modules[module]))
        if elsewhere := source.elsewhere[module]:
            yield f"Also here: {', '.join(_to(source, path) for path in elsewhere)}."
        for path in _own(source, module):
            yield from _entry(source, path, source.described[path], "###")


def _entry(source: Source, path: str, found: Object, heading: str) -> Iterator[str]:
    yield f"{heading} {path}"
    yield from described(
        found, path.rpartition(".")[2], partial(_linked, source), partial(_base, source), source.is_made(found)
    )
    if types := _types(source, path, found):
        yield f"Types: {', '.join(types)}."
    for member in own_entries(found) if found.is_class else ():
        yield from _entry(source, f"{path}.{member.name}", member, "####")


def _linked(source: Source, scope: Object) -> Link:
    def link(name: str) -> str:
        path = source.referred(name, scope)
        return code(name) if path is None else _to(source, path)

    return link


def _to(source: Source, path: str) -> str:
    """A link to the heading under which a path is described: its own, or its class's."""
    owner, _, name = path.rpartition(".")
    inside = owner in source.described and all(member.name != name for member in own_entries(source.described[owner]))
    return f"[{code(path if path in source.modules else name)}](#{anchor(owner if inside else path)})"


def _base(source: Source, base: Object) -> str:
    """A base class that is public, or of another package."""
    paths = source.named_in(base)
    homes = [home for home in map(source.home, paths) if home]
    return _to(source, homes[0]) if homes else ("" if paths else code(str(base)))


def _types(source: Source, path: str, found: Object) -> list[str]:
    """Links to the public types of its signature or fields."""
    homes = [source.home(each) for each in source.types_of(found)]
    return [_to(source, home) for home in homes if home and not f"{path}.".startswith(f"{home}.")]
