"""Names and words that others chose, through whole commands: neither the terminal nor a page obeys them."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from pictures import picture, tree
from results.records import record
from tiny import Outcome, in_subprocess

from ltbench.fuser import MemberLogits
from ltbench.results.logits import LogitsFolder, SplitLogits, write_logits
from ltbench.results.record import config_hash
from ltbench.results.store import save

EVIL = "x\x1b]0;owned\x07\x1b[2J\x9b1A\u202ey"
WORDS = f"{EVIL}\n# head | cell | ![i](http://e.example/i.png) <script>alert(1)</script> <img src=a> [red]l[/red] `c`"

HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(done: Outcome, code: int = 0) -> Outcome:
    assert done.code == code, done.err
    for text in (done.out, done.err):
        assert not HARMFUL.search(text), repr(HARMFUL.search(text))
        assert "unexpected" not in text
    return done


def check_page(text: str) -> None:
    """Read by a Markdown parser: no HTML, link or image, and every table has rows of one length."""
    assert not HARMFUL.search(text)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    children = [child for token in tokens for child in (token.children or [])]
    assert not {token.type for token in [*tokens, *children]} & {"html_block", "html_inline", "link_open", "image"}
    headings = [tokens[number + 1].content for number, token in enumerate(tokens) if token.type == "heading_open"]
    assert not [heading for heading in headings if heading.startswith("head")]
    assert "<script>" not in MarkdownIt("commonmark").render(text)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record that can hold strange words where a setting may be any text, and published rows of them."""
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "results"
    save(record(settings={"experts": {"remark": WORDS}}), folder)
    save(record(settings={"experts": {"remark": "plain"}}, accuracy=0.6), folder)
    row = {"method": WORDS, "backbone": WORDS, "epochs": WORDS, "reference": WORDS, "verified": WORDS, "table": WORDS}
    accuracy = {"many": 1.0, "medium": 2.0, "few": 3.0, "all": 9.0}
    content = {
        "dataset": "toy-lt",
        "fold_sizes": {"paper": {"many": 2, "medium": 2, "few": 2}},
        "rows": [{**row, "accuracy": accuracy}],
    }
    (folder / "reported.json").write_text(json.dumps(content))
    return folder


def test_words_in_records_and_published_rows(ltb: Callable[..., Outcome], results: Path) -> None:
    shown = harmless(ltb("leaderboard", "--results", results, "--dataset", "toy-lt"))
    assert "[red]l[/red]" in shown.out.replace("\n", "")
    harmless(ltb("leaderboard", "--results", results, "--json"))
    refused = harmless(ltb("verify", results, "-v"), code=1)
    assert "settings of method 'experts': remark: Extra inputs are not permitted" in refused.out
    first, second = sorted(path.stem for path in (results / "toy-lt").glob("*.json"))
    harmless(ltb("compare", "--results", results, first, second))
    harmless(ltb("leaderboard", "--results", results, "--write"))
    text = (results / "toy-lt" / "LEADERBOARD.md").read_text()
    assert text.count("alert(1)") >= 6
    check_page(text)


def damaged(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = WORDS
    content["config_hash"] = config_hash(content["config"])
    return content


@pytest.mark.parametrize(
    "keys",
    [
        ("dataset", "name"),
        ("fuser",),
        ("role",),
        ("fold_rule",),
        ("config", "backbone", "name"),
        ("config", "folds"),
        ("track", "backbone"),
        ("environment", "device"),
        ("source",),
        ("created",),
        ("correct_bits",),
        ("dataset", "fingerprint"),
        (WORDS,),
    ],
    ids=lambda keys: ".".join(keys)[:20].replace("\x1b", "").replace("\x07", ""),
)
def test_a_record_that_is_refused_is_named_without_harm(
    ltb: Callable[..., Outcome], results: Path, keys: tuple[str, ...]
) -> None:
    (results / "reported.json").unlink()
    path = sorted((results / "toy-lt").glob("*.json"))[0]
    path.write_text(json.dumps(damaged(json.loads(path.read_text()), *keys)))
    assert "1 record is left out" in harmless(ltb("leaderboard", "--results", results)).err
    assert harmless(ltb("verify", path), code=1).out.startswith("failed")
    harmless(ltb("compare", path, path), code=4)
    harmless(ltb("leaderboard", "--results", results, "--write"))
    check_page((results / "toy-lt" / "LEADERBOARD.md").read_text())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 100_000, "nested too deeply; 32 tables"),
        (
            '{"dataset": "toy-lt", "rows": [{"method": "a", "accuracy": {"all": true}, "reference": "b"}]}',
            "valid number",
        ),
        ('{"dataset": "../x", "rows": []}', "lower case letters"),
        (
            '{"dataset": "toy-lt", "rows": [], "fold_sizes": {"paper": {"many": 0, "medium": 0, "few": 0}}}',
            "needs the number",
        ),
        ('{"dataset": "toy-lt", "rows": [], "rows": []}', "given twice"),
        ("\udcff", "it is not UTF-8 text"),
    ],
)
def test_published_rows_that_are_refused(ltb: Callable[..., Outcome], results: Path, text: str, complaint: str) -> None:
    (results / "reported.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert complaint in harmless(ltb("leaderboard", "--results", results), code=4).complaint


def test_names_of_records_files(ltb: Callable[..., Outcome], results: Path) -> None:
    (results / "toy-lt" / f"{EVIL}--none--s0--0.json").write_text("{}")
    done = harmless(ltb("leaderboard", "--results", results))
    assert "x\\x1b]0;owned" in done.err
    harmless(ltb("verify", results), code=1)


def logits(folder: Path, member: str = "a", **changes: Any) -> Path:
    splits = []
    for each in (4, 6):
        labels = torch.arange(3).repeat(each)
        values = torch.nn.functional.one_hot(labels, 3).float()
        made = MemberLogits(member, "mine", torch.arange(3), "none", values)
        splits.append(SplitLogits([made], labels, torch.arange(len(labels))))
    write_logits(folder, LogitsFolder(3, np.array([9, 5, 2]), *splits))
    content = json.loads((folder / "members.json").read_text()) | changes
    (folder / "members.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"num_classes": True}, "'num_classes' is missing or no int."),
        ({"num_classes": 10**30}, "train_counts must be"),
        ({"train_counts": [10**30, 1, 1]}, "train_counts must be 3 integers"),
        ({"train_counts": [True, 1, 1]}, "train_counts must be 3 integers"),
        ({"dataset": [1]}, "'dataset' must be an object"),
        ({"members": [{"name": EVIL, "method": "m", "classes": [10**30], "outside": "none"}]}, "a list of class ids"),
        ({"members": [{"name": EVIL, "method": "m", "classes": [0, 1, 2], "outside": EVIL}]}, "has no tensor"),
        ({"members": WORDS}, "'members' is missing or no list"),
    ],
)
def test_logits_that_are_refused(
    ltb: Callable[..., Outcome], tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    done = harmless(ltb("fuse", logits(tmp_path / "logits", **changes), "--fuser", "soft"), code=4)
    assert complaint in done.complaint


def test_logits_nested_too_deeply_or_not_utf_8(ltb: Callable[..., Outcome], tmp_path: Path) -> None:
    folder = logits(tmp_path / "logits")
    for content, complaint in (
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format": "\xff"}', "it is not UTF-8 text"),
    ):
        (folder / "members.json").write_bytes(content)
        assert complaint in harmless(ltb("fuse", folder, "--fuser", "soft"), code=4).complaint


def test_names_of_members_and_folders(ltb: Callable[..., Outcome], tmp_path: Path) -> None:
    folder = logits(tmp_path / f"[red]{EVIL}", member=f"[bold]{EVIL}")
    done = harmless(ltb("fuse", folder, "--fuser", "soft"))
    assert "[red]x\\x1b]0;owned" in done.out.replace("\n", "")
    harmless(ltb("fuse", folder, "--fuser", "temperature", "--json"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders with strange names, and a bad file of one."""
    classes = [EVIL, "[red]b[/red]", "<script> | `c`"]
    safe = [name.replace("/", "\u2215") for name in classes]
    for number, (split, count) in enumerate({"train": 6, "val": 3, "test": 3}.items()):
        tree(tmp_path / "photos" / split, dict.fromkeys(safe, count), seed=number)
    (tmp_path / "photos" / "train" / EVIL / f"bad{EVIL}\n.jpg").write_bytes(b"no image")
    picture().save(tmp_path / "photos" / "train" / EVIL / "good.jpg")
    return tmp_path / "photos"


def test_names_of_classes_and_image_files(ltb: Callable[..., Outcome], photos: Path) -> None:
    done = harmless(ltb("data", "check", "folder", "--data-root", photos), code=4)
    assert "bad" in done.out
    harmless(ltb("data", "stats", "folder", "--data-root", photos))
    harmless(ltb("data", "stats", "folder", "--data-root", photos, "--json"))


def test_in_a_process_of_its_own(results: Path, photos: Path, tmp_path: Path) -> None:
    """Streams that are files, as in ``ltbench ... | less``."""
    cache = tmp_path / "cache"
    harmless(in_subprocess(["leaderboard", "--results", results, "--dataset", "toy-lt"], cache, FORCE_COLOR=""))
    harmless(in_subprocess(["data", "check", "folder", "--data-root", photos], cache), code=4)
    path = sorted((results / "toy-lt").glob("*.json"))[0]
    path.write_text(json.dumps(damaged(json.loads(path.read_text()), "track", "backbone")))
    harmless(in_subprocess(["verify", results], cache), code=1)
    path.write_text("[" * 100_000)
    harmless(in_subprocess(["verify", path], cache), code=1)
    harmless(in_subprocess(["compare", path, path], cache), code=4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
def test_a_fifo_among_records_is_not_waited_for(ltb: Callable[..., Outcome], results: Path) -> None:
    os.mkfifo(results / "toy-lt" / "a--none--s0--00000000.json")
    (results / "toy-lt" / "b--none--s0--00000000.json").symlink_to("b--none--s0--00000000.json")
    assert "2 records are left out" in harmless(ltb("leaderboard", "--results", results)).err
