"""Collections that can be frozen in no time: what makes a snapshot cheap.

A registry changes one worker at a time and is asked for a snapshot before every decision.
Copying everything would cost 1 ms at 100,000 workers, so both collections here are cut
into chunks: freezing shares all of them, and the next change copies the one chunk it
touches and the list of chunks (together 1 to 3 us at 100,000 entries).

Edit `BucketMap` and `OrderedSlots`; read `FrozenMap` and the sequences they freeze into.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Generic, TypeVar, overload


__all__ = ["BucketMap", "ChunkedSequence", "FrozenMap", "OrderedSlots"]

K = TypeVar("K")
V = TypeVar("V")

# Entries per chunk: near the square root of 100,000, so that neither a chunk nor the
# list of chunks grows long in the largest fleet we measure.
CHUNK = 256

_FIRST = itemgetter(0)


class FrozenMap(Generic[K, V]):
    """An immutable mapping made by `BucketMap.freeze`; unordered, so it can't be iterated."""

    __slots__ = ("_buckets", "_mask", "_size")

    def __init__(self, buckets: list[dict[K, V]], size: int) -> None:
        self._buckets = buckets
        self._mask = len(buckets) - 1
        self._size = size

    def __len__(self) -> int:
        return self._size

    def get(self, key: K) -> V | None:
        """Return the value of ``key``, or None."""
        return self._buckets[hash(key) & self._mask].get(key)


class BucketMap(Generic[K, V]):
    """A mapping cut into buckets by hash; edited in place, frozen by sharing.

    Example:
        >>> edited: BucketMap[str, int] = BucketMap()
        >>> edited.set("a", 1)
        >>> before = edited.freeze()
        >>> edited.set("a", 2)
        >>> before.get("a"), edited.get("a")
        (1, 2)
    """

    __slots__ = ("_buckets", "_frozen", "_owned", "_size")

    def __init__(self) -> None:
        self._buckets: list[dict[K, V]] = [{}]
        self._owned = bytearray(b"\x01")  # 1: the bucket is in no frozen map
        self._frozen: FrozenMap[K, V] | None = None  # shares the list of buckets
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def get(self, key: K) -> V | None:
        """Return the value of ``key``, or None."""
        return self._buckets[hash(key) & (len(self._buckets) - 1)].get(key)

    def set(self, key: K, value: V) -> None:
        """Map ``key`` to ``value``."""
        bucket = self._editable(hash(key) & (len(self._buckets) - 1))
        before = len(bucket)
        bucket[key] = value
        if len(bucket) != before:
            self._size += 1
            if self._size > CHUNK * len(self._buckets):
                self._grow()

    def remove(self, key: K) -> None:
        """Forget ``key``; unknown keys are fine."""
        index = hash(key) & (len(self._buckets) - 1)
        if key in self._buckets[index]:
            del self._editable(index)[key]
            self._size -= 1

    def freeze(self) -> FrozenMap[K, V]:
        """Return the present content, which later changes don't touch."""
        if self._frozen is None:
            self._frozen = FrozenMap(self._buckets, self._size)
        return self._frozen

    def _editable(self, index: int) -> dict[K, V]:
        if self._frozen is not None:
            self._buckets = self._buckets.copy()
            self._owned = bytearray(len(self._buckets))
            self._frozen = None
        if not self._owned[index]:
            self._buckets[index] = self._buckets[index].copy()
            self._owned[index] = 1
        return self._buckets[index]

    def _grow(self) -> None:
        count = 2 * len(self._buckets)
        buckets: list[dict[K, V]] = [{} for _ in range(count)]
        for bucket in self._buckets:
            for key, value in bucket.items():
                buckets[hash(key) & (count - 1)][key] = value
        self._buckets = buckets
        self._owned = bytearray(b"\x01") * count
        self._frozen = None


class ChunkedSequence(Sequence[V]):
    """An immutable sequence in chunks; iterates at the speed of a tuple."""

    __slots__ = ("_chunks", "_size")

    def __init__(self, chunks: tuple[tuple[V, ...], ...], size: int) -> None:
        self._chunks = chunks
        self._size = size

    @property
    def chunks(self) -> tuple[tuple[V, ...], ...]:
        """The chunks, for those who keep something for each: a change replaces one of them."""
        return self._chunks

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[V]:
        return chain.from_iterable(self._chunks)

    def __reversed__(self) -> Iterator[V]:
        return chain.from_iterable(map(reversed, reversed(self._chunks)))

    @overload
    def __getitem__(self, index: int) -> V: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[V, ...]: ...
    def __getitem__(self, index: int | slice) -> V | tuple[V, ...]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._size)
            if step > 0:
                return tuple(islice(self, start, stop, step))
            return tuple(self)[index]
        if index < 0:
            index += self._size
        if not 0 <= index < self._size:
            raise IndexError("sequence index out of range")
        chunk: tuple[V, ...] = ()
        for chunk in self._chunks:
            if index < len(chunk):
                break
            index -= len(chunk)
        return chunk[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (tuple, ChunkedSequence)):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to tuples, but hashing would visit all

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._size}>"


class OrderedSlots(Generic[V]):
    """Values in the order of their slot numbers; edited in place, frozen by sharing."""

    __slots__ = ("_keys", "_size", "_values")

    def __init__(self) -> None:
        self._keys: list[tuple[int, ...]] = []
        self._values: list[tuple[V, ...]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def set(self, slot: int, value: V) -> None:
        """Put ``value`` at ``slot``, replacing what was there."""
        at = self._chunk_of(slot)
        if at < 0:
            self._keys.append((slot,))
            self._values.append((value,))
            self._size += 1
            return
        keys, values = self._keys[at], self._values[at]
        index = bisect_left(keys, slot)
        if index < len(keys) and keys[index] == slot:
            changed = list(values)  # half the time of slices around the value
            changed[index] = value
            self._values[at] = tuple(changed)
            return
        self._keys[at] = (*keys[:index], slot, *keys[index:])
        self._values[at] = (*values[:index], value, *values[index:])
        self._size += 1
        if len(keys) >= CHUNK:
            self._split(at)

    def remove(self, slot: int) -> None:
        """Forget what is at ``slot``; unknown slots are fine."""
        at = self._chunk_of(slot)
        if at < 0:
            return
        keys, values = self._keys[at], self._values[at]
        index = bisect_left(keys, slot)
        if index == len(keys) or keys[index] != slot:
            return
        self._size -= 1
        self._keys[at] = keys[:index] + keys[index + 1 :]
        self._values[at] = values[:index] + values[index + 1 :]
        self._tidy(at)

    def freeze(self) -> Sequence[V]:
        """Return the present content; a plain tuple as long as there is one chunk."""
        if not self._values:
            return ()
        if len(self._values) == 1:
            return self._values[0]
        return ChunkedSequence(tuple(self._values), self._size)

    def _chunk_of(self, slot: int) -> int:
        """Return the chunk in which ``slot`` is or belongs; -1 when there is none."""
        if not self._keys:
            return -1
        return max(bisect_right(self._keys, slot, key=_FIRST) - 1, 0)

    def _tidy(self, at: int) -> None:
        """Drop the chunk at ``at`` when it is empty; join it with a neighbour when both are small.

        Numbers of slots only rise, so that a fleet whose workers come and go would in the
        end have as many chunks as workers.
        """
        keys, values = self._keys, self._values
        if not keys[at]:
            del keys[at], values[at]
            return
        for first in (max(at - 1, 0), at):
            pair = slice(first, first + 2)
            if len(keys[pair]) == 2 and sum(map(len, keys[pair])) <= CHUNK // 2:  # noqa: PLR2004 - a pair
                keys[pair] = [keys[first] + keys[first + 1]]
                values[pair] = [values[first] + values[first + 1]]
                return

    def _split(self, at: int) -> None:
        # Registration appends, so a full last chunk stays full and a new one begins:
        # halving it would leave every chunk half empty.
        keys, values = self._keys[at], self._values[at]
        cut = CHUNK if at == len(self._keys) - 1 else len(keys) // 2
        self._keys[at : at + 1] = [keys[:cut], keys[cut:]]
        self._values[at : at + 1] = [values[:cut], values[cut:]]
