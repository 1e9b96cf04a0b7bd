"""The compiled part of reconstruction: which cells of a line can hold the rows of a class, and how likely."""

from __future__ import annotations

import numpy as np

from tasks.common.compiling import compiled

# With more parts than this the limit of k - 1 rows in a part says next to nothing.
_MOST_PARTS = 8
_CERTAIN = 1 - 1e-9


@compiled
def guess(
    facts: np.ndarray,
    boxes: np.ndarray,
    rows: np.ndarray,
    ranks: np.ndarray,
    part: np.ndarray,
    offsets: np.ndarray,
    cells: np.ndarray,
    greedy: bool,
) -> np.ndarray:
    """Means over the missing quasi-identifier, float64 (t, 3): see reconstruction.Guesses.

    facts: int32 (t, q), cells of the targets. boxes: int32 (b, q), labels of the classes; rows, ranks: int64 (b,).
    part: int32, for each quasi-identifier a table (labels, cells), flattened; offsets int64 (q,) says where it starts
    and cells int64 (q,) how many cells there are. greedy: which of the two recodings.
    """
    found = np.zeros((len(facts), 3))
    columns = facts.shape[1]
    volumes = _volumes(boxes, part, offsets, cells)
    least = _smallest_class(rows, volumes, cells)
    on_line, own = np.empty(len(boxes), dtype=np.int64), np.empty(len(boxes), dtype=np.int64)
    for t in range(len(facts)):
        mine = _own_classes(facts[t], boxes, ranks, part, offsets, cells, greedy, own)
        for h in range(columns if mine > 0 else 0):
            first, likely = np.empty(cells[h], dtype=np.int64), np.empty(cells[h])
            count = _classes_on_line(facts[t], boxes, part, offsets, cells, h, on_line)
            _first_to_cover(boxes, on_line[:count], ranks, part, offsets[h], cells[h], h, greedy, first)
            total = 0.0
            for b in own[:mine]:
                total += rows[b] / volumes[b]
            for b in own[:mine]:
                start = offsets[h] + boxes[b, h] * cells[h]
                labels = part[start : start + cells[h]]
                width = (labels >= 0).sum()
                share = rows[b] / volumes[b] / total / columns
                _line(labels, first, ranks[b], rows[b], least, greedy, likely)
                found[t, 0] += share * _best_guess(likely, facts[t, h])
                found[t, 1] += share / width
                found[t, 2] += share * (width > 1 and likely[facts[t, h]] >= _CERTAIN)
    return found


@compiled
def _own_classes(
    fact: np.ndarray,
    boxes: np.ndarray,
    ranks: np.ndarray,
    part: np.ndarray,
    offsets: np.ndarray,
    cells: np.ndarray,
    greedy: bool,
    out: np.ndarray,
) -> int:
    """Put into `out` the classes that a target can be in, and return how many: the first made, where that is known."""
    count = _classes_on_line(fact, boxes, part, offsets, cells, len(fact), out)
    if not greedy:
        return count
    best = len(ranks)
    for b in out[:count]:
        best = min(best, ranks[b])
    kept = 0
    for b in out[:count]:
        if ranks[b] == best:
            out[kept] = b
            kept += 1
    return kept


@compiled
def _best_guess(likely: np.ndarray, truth: int) -> float:
    """Chance that the likeliest cell is the true one; equally likely ones share it."""
    limit = likely.max() * _CERTAIN
    if limit <= 0 or likely[truth] < limit:
        return 0.0
    return 1.0 / (likely >= limit).sum()


@compiled
def _volumes(boxes: np.ndarray, part: np.ndarray, offsets: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Cells in each box, float64 (b,)."""
    volumes = np.ones(len(boxes))
    for b in range(len(boxes)):
        for j in range(boxes.shape[1]):
            start = offsets[j] + boxes[b, j] * cells[j]
            volumes[b] *= (part[start : start + cells[j]] >= 0).sum()
    return volumes


@compiled
def _smallest_class(rows: np.ndarray, volumes: np.ndarray, cells: np.ndarray) -> int:
    """Rows in the smallest class that is not what was left over: one whose labels say something. k is no larger."""
    everywhere, least = 1.0, np.int64(2**62)
    for count in cells:
        everywhere *= count
    for b in range(len(rows)):
        if volumes[b] < everywhere:
            least = min(least, rows[b])
    return int(least if least < 2**62 else rows.min())


@compiled
def _classes_on_line(
    fact: np.ndarray,
    boxes: np.ndarray,
    part: np.ndarray,
    offsets: np.ndarray,
    cells: np.ndarray,
    missing: int,
    out: np.ndarray,
) -> int:
    """Put into `out` the classes whose labels cover all facts but the missing one, and return how many they are."""
    count = 0
    for b in range(len(boxes)):
        covered = True
        for j in range(len(fact)):
            if j != missing and part[offsets[j] + boxes[b, j] * cells[j] + fact[j]] < 0:
                covered = False
                break
        if covered:
            out[count] = b
            count += 1
    return count


@compiled
def _first_to_cover(
    boxes: np.ndarray,
    on_line: np.ndarray,
    ranks: np.ndarray,
    part: np.ndarray,
    offset: int,
    cells: int,
    missing: int,
    greedy: bool,
    first: np.ndarray,
) -> None:
    """Put into `first` the least rank of a class that covers each cell; none has one where boxes may overlap."""
    first[:] = len(ranks)
    if greedy:
        for b in on_line:
            start = offset + boxes[b, missing] * cells
            for v in range(cells):
                if part[start + v] >= 0:
                    first[v] = min(first[v], ranks[b])


@compiled
def _line(
    labels: np.ndarray, first: np.ndarray, rank: int, rows: int, least: int, greedy: bool, likely: np.ndarray
) -> None:
    """Fill in how likely a row of a class is in each cell of the line.

    labels: int32 (cells,), the part of the label that a cell is under, or -1. first: int64 (cells,), the least rank of
    a class that covers the cell. rank, rows: of the class. least: rows in the smallest class, which k is at most.
    """
    likely[:] = 0.0
    parts = labels.max() + 1
    size = np.zeros(parts)
    for v in range(len(labels)):
        if labels[v] >= 0 and first[v] >= rank:
            size[labels[v]] += 1
    total = size.sum()
    if total == 0:
        return
    share = _rows_by_part(size / total, rows, least - 1) if greedy else _not_all_in_one(size / total, rows)
    for v in range(len(labels)):
        if labels[v] >= 0 and first[v] >= rank:
            likely[v] = share[labels[v]] / size[labels[v]]


@compiled
def _not_all_in_one(share: np.ndarray, rows: int) -> np.ndarray:
    """Probability of each part for one of n rows, given that not all n are in the same part.

    With independent rows: p_j (1 - p_j^(n-1)) / (1 - sum of p_i^n).
    """
    spread = 1 - (share**rows).sum()
    return share * (1 - share ** (rows - 1)) / spread if spread > 1e-12 else share


@compiled
def _rows_by_part(share: np.ndarray, rows: int, most: int) -> np.ndarray:
    """Probability of each part for one of n rows, given that no part has more than `most` of them.

    With independent rows the numbers are multinomial; weights of the parts' numbers are convolved, p^c / c! each.
    Where the limit cannot hold, or there are many parts, the shares as they are.
    """
    parts = len(share)
    if parts > _MOST_PARTS or (share > 0).sum() * most < rows:
        return share
    # before[j], after[j]: weight of s rows in the parts before j, or from j on.
    before, after = np.zeros((parts + 1, rows + 1)), np.zeros((parts + 1, rows + 1))
    weight = np.zeros((parts, most + 1))
    before[0, 0] = after[parts, 0] = 1.0
    for j in range(parts):
        weight[j, 0] = 1.0
        for c in range(1, most + 1):
            weight[j, c] = weight[j, c - 1] * share[j] / c
    for j in range(parts):
        for s in range(rows + 1):
            for c in range(min(most, s) + 1):
                before[j + 1, s] += before[j, s - c] * weight[j, c]
                after[parts - 1 - j, s] += after[parts - j, s - c] * weight[parts - 1 - j, c]
    expected = np.zeros(parts)
    for j in range(parts):
        for c in range(1, min(most, rows) + 1):
            rest = 0.0
            for s in range(rows - c + 1):
                rest += before[j, s] * after[j + 1, rows - c - s]
            expected[j] += c * weight[j, c] * rest
    return expected / expected.sum()
