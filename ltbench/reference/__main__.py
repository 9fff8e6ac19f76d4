"""``python -m ltbench.reference``: write the page of the public names, or check that it is what the docstrings give."""

from pathlib import Path

import click

PAGE = Path("docs", "reference.md")


@click.command()
@click.option("--write", is_flag=True, help="Write the page.")
@click.option("--check", is_flag=True, help="Fail where the page is not what would be written.")
@click.argument("file", default=PAGE, type=click.Path(path_type=Path))
def main(write: bool, check: bool, file: Path) -> None:
    """Print, write or check the page of the public names, docs/reference.md below the current folder by default."""
    try:
        from ltbench.reference.page import page
        from ltbench.reference.source import Source
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}: pip install 'ltbench[dev]'") from error
    text = page(Source())
    if write:
        file.write_text(text, encoding="utf-8")
    elif not check:
        click.echo(text, nl=False)
    elif not file.is_file() or file.read_text(encoding="utf-8") != text:
        raise click.ClickException(f"{file} is not what the docstrings give: python -m ltbench.reference --write")


if __name__ == "__main__":
    main()
