"""Hashes that can be looked up by the million."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int64, UInt64

# So many bits of a filter for each hash, or more: of other hashes it lets 3 % pass at most.
_BITS_OF_A_HASH = 32
_MOST_ROWS = 1 << 22  # that are found at once


class Lookup:
    """A set of hashes of 64 bits, each with its rows.

    Args:
        hashes: may be there several times, with a row each.
    """

    def __init__(self, hashes: UInt64[np.ndarray, "rows"], rows: Int64[np.ndarray, "rows"]) -> None:
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._rows = hashes[order], rows[order]
        # Random access to the filter, which is small, costs a tenth of that to the sorted hashes.
        bits = max(_BITS_OF_A_HASH * len(hashes), 64).bit_length()
        self._shift = np.uint64(64 - bits)
        self._filter = np.zeros(1 << (bits - 3), np.uint8)
        places = self._hashes >> self._shift
        np.bitwise_or.at(self._filter, places >> np.uint64(3), _bit_of(places))

    def may_have(self, hashes: UInt64[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """False only for hashes that are not there."""
        places = hashes >> self._shift
        return self._filter[places >> np.uint64(3)] & _bit_of(places) != 0

    def rows(
        self, hashes: UInt64[np.ndarray, "n"], groups: Int64[np.ndarray, "n"]
    ) -> Iterator[tuple[Int64[np.ndarray, "found"], Int64[np.ndarray, "found"]]]:
        """(group of the hash, its row), for each row of each hash, in parts that fit into memory.

        Args:
            groups: what each hash belongs to, in order. A part has all of a group.
        """
        which = np.flatnonzero(self.may_have(hashes))
        hashes, groups = hashes[which], groups[which]
        first = np.searchsorted(self._hashes, hashes)
        counts = np.searchsorted(self._hashes, hashes, side="right") - first
        before = np.cumsum(counts) - counts
        begins = np.searchsorted(groups, groups)  # where the group of each hash begins
        parts = before[begins] // _MOST_ROWS if len(before) else before
        for part in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(parts)) + 1):
            number = counts[part].sum()
            if number:
                shift = first[part] - before[part] + before[part[0]]
                places = np.arange(number) + np.repeat(shift, counts[part])
                yield np.repeat(groups[part], counts[part]), self._rows[places]


def _bit_of(places: UInt64[np.ndarray, "n"]) -> np.ndarray:
    return np.left_shift(np.uint8(1), (places & np.uint64(7)).astype(np.uint8))
