"""Published figures: they agree with each other and with what papers print."""

import pytest
from ltbench_datasets.published.benchmark import BENCHMARKS
from ltbench_datasets.published.facts import known_counts, known_lists

from ltbench.data.folds import fold_rule


@pytest.mark.parametrize(
    ("dataset", "train", "val", "test", "most", "least"),
    [
        ("imagenet-lt", 115_846, 20_000, 50_000, 1280, 5),
        ("places-lt", 62_500, 7_300, 36_500, 4980, 5),
        ("inaturalist2018", 437_513, 24_426, None, 1000, 2),
    ],
)
def test_sizes(dataset: str, train: int, val: int, test: int | None, most: int, least: int) -> None:
    counts = known_counts(dataset).by_split
    sizes = {"train": train, "val": val} | ({} if test is None else {"test": test})
    assert {split: of_split.sum() for split, of_split in counts.items()} == sizes
    assert (counts["train"].max(), counts["train"].min()) == (most, least)
    assert {known.split: known.lines for known in known_lists(dataset)} == sizes


@pytest.mark.parametrize(
    ("dataset", "rule", "classes"),
    [
        ("imagenet-lt", "paper", [391, 473, 136]),
        ("imagenet-lt", "kang", [385, 479, 136]),
        ("imagenet-lt", "oltr", [391, 463, 146]),
        ("places-lt", "paper", [132, 162, 71]),
    ],
)
def test_folds_are_as_large_as_papers_say(dataset: str, rule: str, classes: list[int]) -> None:
    folds = fold_rule(rule).members(known_counts(dataset).by_split["train"])
    assert [len(ids) for ids in folds.values()] == classes


@pytest.mark.parametrize("dataset", BENCHMARKS)
def test_one_variant_of_every_list_can_be_fetched(dataset: str) -> None:
    benchmark = BENCHMARKS[dataset]
    fetchable = {known.split: known.urls for known in known_lists(dataset) if known.urls}
    assert set(fetchable) == set(benchmark.lists) == set(known_counts(dataset).by_split)
    for split, urls in fetchable.items():
        assert all(url.startswith("https://raw.githubusercontent.com/") for url in urls)
        assert {url.rpartition("/")[2] for url in urls} == {benchmark.lists[split]}


@pytest.mark.parametrize("dataset", BENCHMARKS)
def test_variants_are_told_apart(dataset: str) -> None:
    lists = known_lists(dataset)
    assert len({known.git_blob for known in lists}) == len(lists)
    assert len({(known.split, known.variant) for known in lists}) == len(lists)
