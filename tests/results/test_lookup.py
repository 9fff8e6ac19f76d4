"""Names by which people call records and rows."""

from pathlib import Path

import pytest

from ltbench.errors import DataError, UsageError
from ltbench.results.lookup import choose, row_name
from ltbench.results.store import save

from .records import baseline, record

JOINT = [record(seed=seed) for seed in (1, 0)]
RHO = {rho: record(fuser="kl", settings={"experts": {"rho": rho}}) for rho in (8, 16)}
RECORDS = [*JOINT, *RHO.values(), baseline(), record("baseline+experts", "kl")]


def test_a_row_is_named_by_methods_and_fuser() -> None:
    assert choose("experts/joint", RECORDS) == [JOINT[1], JOINT[0]]
    assert choose("baseline", RECORDS) == choose("baseline/none", RECORDS) == [RECORDS[4]]
    assert choose("baseline+experts/kl", RECORDS) == [RECORDS[5]]


def test_the_config_tells_rows_apart() -> None:
    for made in RHO.values():
        assert choose(f"experts/kl/{made.config_hash[:8]}", RECORDS) == [made]
        assert choose(row_name(made), RECORDS) == [made]
    with pytest.raises(UsageError, match=r"may be experts/kl/.* or experts/kl/.*: add the config"):
        choose("experts/kl", RECORDS)


def test_rows_of_two_datasets_are_not_mixed() -> None:
    with pytest.raises(UsageError, match=r"on (other|toy)-lt or .* on (other|toy)-lt: .*--dataset"):
        choose("experts/joint", [*JOINT, record(data="other-lt")])


def test_one_record_by_its_name_or_file(tmp_path: Path) -> None:
    assert choose(JOINT[0].name, RECORDS) == [JOINT[0]]
    assert choose(f"{JOINT[0].name}.json", RECORDS) == [JOINT[0]]
    assert choose(str(save(JOINT[0], tmp_path)), []) == [JOINT[0]]


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"'expert/joint'. Did you mean 'experts/joint/.*Known rows: .*baseline/none"):
        choose("expert/joint", RECORDS)


def test_a_file_that_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(DataError, match=r"x\.json: .*Field required \(and \d+ more\)"):
        choose(str(path), [])
