"""Settings of the whole process that fits change, several of them at once."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Setting = TypeVar("Setting")


class SharedSetting(Generic[Setting]):
    """What the first of all that are inside begins, and the last one ends.

    Parameters
    ----------
    begin : callable
        Returns the setting of the caller, and may change it.
    end : callable
        Takes that of the caller, to give it back.
    """

    def __init__(
        self,
        begin: Callable[[], Setting],
        end: Callable[[Setting], None] = lambda _: None,
    ) -> None:
        self.begin, self.end = begin, end
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        # The parent's threads, one of which may hold the lock, are not in a child, nor
        # are its fits.
        self.lock = threading.Lock()
        self.n_inside = 0

    @contextmanager
    def inside(self) -> Iterator[Setting]:
        """Enter, with the setting of the caller, and leave."""
        with self.lock:
            if self.n_inside == 0:
                self.before = self.begin()
            self.n_inside += 1
        try:
            yield self.before
        finally:
            with self.lock:
                self.n_inside -= 1
                if self.n_inside == 0:
                    self.end(self.before)
