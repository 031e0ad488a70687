"""The union-find: an equivalence relation, freezing that spreads, and no effect of the order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compress.prune.entries import FROZEN, Entries

SIZE = 12
pairs = st.lists(st.tuples(st.integers(1, SIZE), st.integers(1, SIZE)), max_size=15)
frozen = st.lists(st.integers(1, SIZE), max_size=3)


@dataclass(frozen=True)
class Outcome:
    """What can be seen from outside: which entries are together, and which stay."""

    together: frozenset[frozenset[int]]
    staying: frozenset[int]


def fresh() -> Entries:
    entries = Entries()
    assert entries.fresh(SIZE).tolist() == list(range(1, SIZE + 1))
    return entries


def unite(entries: Entries, one: int, other: int, why: str = "met") -> None:
    entries.unite(np.array([one]), np.array([other]), why)


def outcome(entries: Entries) -> Outcome:
    roots = entries.roots(np.arange(1, SIZE + 1)).tolist()
    classes = [frozenset(i + 1 for i, root in enumerate(roots) if root == each) for each in set(roots)]
    return Outcome(frozenset(classes), frozenset(i for i in range(1, SIZE + 1) if entries.frozen(i)))


def components(edges: list[tuple[int, int]]) -> frozenset[frozenset[int]]:
    """The same relation by spreading labels until nothing changes."""
    label = list(range(SIZE + 1))
    for _ in range(SIZE):
        for one, other in edges:
            label[one] = label[other] = min(label[one], label[other])
    return frozenset(frozenset(i for i in range(1, SIZE + 1) if label[i] == each) for each in set(label[1:]))


@given(pairs)
def test_united_entries_form_an_equivalence_relation(edges: list[tuple[int, int]]):
    entries = fresh()
    for edge in edges:
        unite(entries, *edge)
    assert outcome(entries) == Outcome(components(edges), frozenset())


@given(pairs, frozen, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(edges: list[tuple[int, int]], stay: list[int], random):
    """Unions and freezes in any order, sides of a union swapped: the same classes, the same of them frozen."""
    first, second = fresh(), fresh()
    steps = [*((one, other) for one, other in edges), *((entry, FROZEN) for entry in stay)]
    for step in steps:
        apply(first, step)
    random.shuffle(steps)
    for one, other in steps:
        apply(second, (one, other) if other == FROZEN or random.random() < 0.5 else (other, one))
    assert outcome(first) == outcome(second)
    classes = components(edges)
    assert outcome(first) == Outcome(classes, frozenset(i for c in classes if c & set(stay) for i in c))


def apply(entries: Entries, step: tuple[int, int]) -> None:
    if step[1] == FROZEN:
        entries.freeze(np.array([step[0]]), "asked")
    else:
        unite(entries, *step)


@given(pairs, st.integers(1, SIZE), st.integers(0, 15))
def test_the_first_reason_reaches_the_whole_class(edges: list[tuple[int, int]], stays: int, when: int):
    entries = fresh()
    for edge in edges[:when]:
        unite(entries, *edge)
    entries.freeze(np.array([stays]), "first")
    entries.freeze(np.array([stays]), "second")
    for edge in edges[when:]:
        unite(entries, *edge)
    (whole,) = [each for each in components(edges) if stays in each]
    assert {entries.reasons[entries.root(i)] for i in whole} == {"first"}
    assert set(entries.reasons) == {FROZEN, entries.root(stays)}


@given(pairs, st.integers(1, SIZE))
def test_what_meets_an_unknown_channel_stays_but_joins_no_common_class(edges: list[tuple[int, int]], meets: int):
    entries = fresh()
    for edge in edges:
        unite(entries, *edge)
    unite(entries, meets, FROZEN, "it met something unknown")
    assert outcome(entries).together == components(edges)
    assert entries.reasons[entries.root(meets)] == "it met something unknown"
    assert entries.root(meets) != FROZEN


def test_two_frozen_classes_keep_one_of_their_reasons():
    entries = fresh()
    entries.freeze(np.array([3]), "three")
    entries.freeze(np.array([5]), "five")
    unite(entries, 5, 3)
    assert entries.reasons[entries.root(5)] in {"three", "five"}
    assert entries.reasons.keys() == {FROZEN, entries.root(3)}


def test_rows_leave_together():
    entries = fresh()
    entries.unite_rows(np.array([[1, 4, 7], [2, 5, 8]]), "rows")
    assert outcome(entries).together == components([(1, 4), (4, 7), (2, 5), (5, 8)])
    entries.unite_rows(np.array([[1], [2]]), "single columns unite nothing")
    assert entries.root(1) != entries.root(2)


def test_a_tensor_that_is_used_again_has_the_same_entries():
    entries = Entries()
    first = entries.dimension("conv.weight", 0, 4, "filter")
    assert np.array_equal(entries.dimension("conv.weight", 0, 4, "filter"), first)
    assert not set(first) & set(entries.dimension("conv.weight", 1, 4, "consumer"))
    assert [d.role for d in entries.dimensions.values()] == ["filter", "consumer"]


@given(pairs)
def test_roots_keep_their_shape(edges: list[tuple[int, int]]):
    entries = fresh()
    for edge in edges:
        unite(entries, *edge)
    ids = np.arange(1, SIZE + 1).reshape(3, 4)
    roots = entries.roots(ids)
    assert roots.shape == (3, 4)
    assert all(entries.root(int(i)) == root for i, root in zip(ids.ravel(), roots.ravel(), strict=True))
