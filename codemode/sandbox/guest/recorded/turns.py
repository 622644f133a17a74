"""The order in which the lines of a recorded run print and give files.

Between lines that order is chance, so the record has it: the turns that the lines
took. In a replay what a line prints is kept back until its turn comes. The line
itself goes on, so that lines never wait for each other by printing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from codemode.sandbox.guest.recorded.lines import current_line
from codemode.sandbox.guest.recorded.steps import MAIN, Step, write_step
from codemode.wire.frames import Frame

__all__ = ["Files", "Printing", "Turn"]

type Text = tuple[Frame, str]
"""What is printed on one of the two streams."""


class Turn(NamedTuple):
    """What a line puts out in a row, from ``start`` on, counted over all lines."""

    line: str
    start: int


_FIRST = Turn(MAIN, 0)


class _Turns[T]:
    """The turns of a record, and what is kept back. One thread at a time may call.

    ``total`` is how much the record has. ``note`` takes a step in the form of text. Beyond a
    ``complete`` record only the main line puts something out: a thread that was still at work
    when the run ended may come further in a replay.
    """

    kind: str

    def __init__(
        self, turns: Iterable[Turn], total: int, note: Callable[[str], None], *, complete: bool
    ) -> None:
        self._note = note
        self._complete = complete
        ordered = [_FIRST]
        for turn in turns:
            # A turn of which nothing came on record: the next run began at the same place.
            while ordered and ordered[-1].start >= turn.start:
                ordered.pop()
            ordered.append(turn)
        last = ordered[-1]
        # Where nothing came of the last turn, the line that comes then notes its own.
        self._current = last.line if last.start < total or last == _FIRST else None
        ends = [*(turn.start for turn in ordered[1:]), total]
        self._upcoming = deque(
            (line, min(end, total) - start)
            for (line, start), end in zip(ordered, ends, strict=True)
            if start < total
        )
        self._position = total
        self._kept: dict[str, deque[tuple[int, T]]] = {}
        self._numbers = 0

    @property
    def is_used_up(self) -> bool:
        """Whether all that the record has of this has come again."""
        return not self._upcoming

    def skip(self, size: int) -> None:
        """Take note of what has been put out before there were lines beside the main one."""
        while self._upcoming and size >= self._upcoming[0][1]:
            size -= self._upcoming.popleft()[1]
        if self._upcoming:
            line, left = self._upcoming[0]
            self._upcoming[0] = (line, left - size)
        else:
            self._position += size

    def arrange(self, item: T) -> Iterable[T]:
        """Take what the current line puts out; yield what may leave now."""
        label = current_line().label
        if self._upcoming:
            return self._keep(label, item)
        if self._complete and label != MAIN:
            return ()
        self._note_turn(label, item)
        return (item,)

    def rest(self) -> Iterator[T]:
        """Yield all that is still kept back, in the order in which it came."""
        kept = [
            (number, label, item) for label, queue in self._kept.items() for number, item in queue
        ]
        beyond = self._complete and not self._upcoming
        self._kept = {}
        self._upcoming.clear()
        for _, label, item in sorted(kept, key=lambda one: one[0]):
            if beyond and label != MAIN:
                continue
            self._note_turn(label, item)
            yield item

    def _keep(self, label: str, item: T) -> Iterator[T]:
        self._numbers += 1
        self._kept.setdefault(label, deque()).append((self._numbers, item))
        while self._upcoming:
            turn, left = self._upcoming[0]
            queue = self._kept.get(turn)
            if not queue:
                return
            number, first = queue.popleft()
            first, more = self._split(first, left)
            if more is not None:
                queue.appendleft((number, more))
            left -= self._size(first)
            if left:
                self._upcoming[0] = (turn, left)
            else:
                self._upcoming.popleft()
            yield first
        yield from self.rest()

    def _note_turn(self, label: str, item: T) -> None:
        if label != self._current:
            self._current = label
            self._note(write_step(label, Step(self.kind, str(self._position), 0)))
        self._position += self._size(item)

    def _size(self, item: T) -> int:
        raise NotImplementedError

    def _split(self, item: T, most: int) -> tuple[T, T | None]:
        raise NotImplementedError


class Printing(_Turns[Text]):
    """The turns of lines at printing, in characters of both streams."""

    kind = "w"

    def _size(self, item: Text) -> int:
        return len(item[1])

    def _split(self, item: Text, most: int) -> tuple[Text, Text | None]:
        stream, text = item
        return (stream, text[:most]), (stream, text[most:]) if len(text) > most else None


class Files(_Turns[tuple[str, bytes]]):
    """The turns of lines at giving files, each of which is a step."""

    kind = "a"

    def _note_turn(self, label: str, item: tuple[str, bytes]) -> None:
        self._current = None
        super()._note_turn(label, item)

    def _size(self, item: tuple[str, bytes]) -> int:
        return 1

    def _split(self, item: tuple[str, bytes], most: int) -> tuple[tuple[str, bytes], None]:
        return item, None
