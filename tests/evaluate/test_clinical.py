"""Clinical indices and their agreement on known volumes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import DataError
from compress.evaluate.clinical import (
    QUANTITIES,
    Pair,
    PhaseVolumes,
    agreement,
    clinical_agreement,
    clinical_pairs,
    ejection_fraction,
    pearson,
)


def phase(patient: str, name: str, lv: tuple[float, float], **other: tuple[float, float]) -> PhaseVolumes:
    """(prediction, reference) volumes in ml per structure."""
    volumes = {"LV": lv, "RV": (90.0, 90.0), "MYO": (100.0, 120.0), **other}
    return PhaseVolumes(patient, name, {k: v[0] for k, v in volumes.items()}, {k: v[1] for k, v in volumes.items()})


def test_known_patient():
    pairs = clinical_pairs([phase("p1", "ED", (120.0, 100.0)), phase("p1", "ES", (60.0, 40.0))])
    assert pairs["LV EDV"] == [Pair("p1", 120.0, 100.0)]
    assert pairs["LV ESV"] == [Pair("p1", 60.0, 40.0)]
    assert pairs["LV SV"] == [Pair("p1", 60.0, 60.0)]
    assert pairs["LV EF"] == [Pair("p1", 50.0, 60.0)]
    assert pairs["RV EF"] == [Pair("p1", 0.0, 0.0)]
    assert pairs["MYO mass"] == [Pair("p1", pytest.approx(105.0), pytest.approx(126.0))]


def test_agreement_by_hand():
    found = agreement([("a", 12.0, 10.0), ("b", 18.0, 20.0), ("c", 33.0, 30.0)])
    assert (found.n, found.omitted) == (3, 0)
    assert found.bias == pytest.approx(1.0)
    assert found.sd == pytest.approx(np.sqrt(7))  # differences 2, -2, 3
    assert found.limits == pytest.approx((1 - 1.96 * np.sqrt(7), 1 + 1.96 * np.sqrt(7)))
    assert found.mae == pytest.approx(7 / 3)
    assert found.correlation == pytest.approx(np.corrcoef([12, 18, 33], [10, 20, 30])[0, 1])


def test_missing_phases_and_structures_are_counted():
    records = [phase("p1", "ED", (100.0, 100.0)), phase("p2", "ED", (90.0, 80.0)), phase("p2", "ES", (50.0, 40.0))]
    records.append(PhaseVolumes("p3", "", {"LV": 10.0}, {"LV": 10.0}))
    found = clinical_agreement(records)
    assert {name: (found[name].n, found[name].omitted) for name in ("LV EDV", "LV EF", "MYO mass")} == {
        "LV EDV": (2, 1),
        "LV EF": (1, 2),
        "MYO mass": (2, 1),
    }


def test_an_empty_ventricle_has_no_ejection_fraction():
    assert ejection_fraction(0.0, 0.0) is None
    found = clinical_agreement([phase("p1", "ED", (0.0, 100.0)), phase("p1", "ES", (0.0, 40.0))])
    assert (found["LV EF"].n, found["LV EF"].omitted) == (0, 1)
    assert (found["LV SV"].n, found["LV SV"].bias) == (1, -60.0)


def test_nothing_to_compare_is_none_not_nan():
    empty = agreement([], omitted=4)
    assert (empty.n, empty.omitted) == (0, 4)
    assert {empty.bias, empty.sd, empty.limits, empty.correlation, empty.mae} == {None}
    single = agreement([("a", 2.0, 1.0)])
    assert (single.bias, single.sd, single.limits, single.correlation) == (1.0, None, None, None)


@pytest.mark.parametrize("constant", [[0.0, 0.0, 0.0], [0.3, 0.1 + 0.2, 0.3]])
def test_correlation_with_a_constant_is_undefined(constant):
    assert pearson(np.array(constant), np.array([1.0, 2.0, 3.0])) is None


@given(st.lists(st.tuples(st.floats(1, 300), st.floats(1, 300)), min_size=2, max_size=8))
def test_agreement_bounds(values):
    found = agreement([(str(index), *pair) for index, pair in enumerate(values)])
    assert found.bias is not None and found.mae is not None and found.limits is not None
    assert abs(found.bias) <= found.mae + 1e-9
    assert found.limits[0] <= found.bias <= found.limits[1]
    assert found.correlation is None or -1.0 <= found.correlation <= 1.0


def test_two_volumes_of_one_phase_are_refused():
    with pytest.raises(DataError, match="'p1' has two volumes of phase 'ED'"):
        clinical_pairs([phase("p1", "ED", (1.0, 1.0)), phase("p1", "ED", (1.0, 1.0))])


def test_the_quantities_of_the_acdc_tables():
    assert set(QUANTITIES) == {f"{s} {q}" for s in ("LV", "RV") for q in ("EDV", "ESV", "SV", "EF")} | {"MYO mass"}
