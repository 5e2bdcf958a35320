"""Steps that a GPU repeats as one CUDA graph.

To launch its many kernels takes most of a small step's time on a GPU. Recorded, they
are launched at once. A graph repeats what was recorded and knows nothing of Python: a
number that changes from step to step is `changing`, so that the graph reads it from
where the host puts it, and what the host itself does is `at_each_step`. Of a step that
depends on the host in other ways, `depends_on_host` says so.

Graphs are asked for by the environment variable ``SKDEEP_CUDA_GRAPHS=1``.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode

Step = Callable[[Tensor], dict[str, Tensor]]

N_WATCHED = 3
"""Steps before the recorded one, in which libraries make their workspaces."""

LEAST_STEPS = 16
"""Steps from which recording one of them pays."""

LOOK_AGAIN = 50
"""Steps after which those that depended on the host are watched once more."""

NUMBERS = torch.float32
"""Type of changing numbers: a GPU's fused Adam reads its step size in this one."""

ONE_BY_ONE = threading.Lock()
"""Held while a step is recorded, as torch cannot give memory back meanwhile."""


class Running(threading.local):
    """The step that a thread watches or records, if it does."""

    watch: "Watch | None" = None
    recording: "Recording | None" = None


_local = Running()


def are_asked_for(device: torch.device) -> bool:
    """Whether steps on the device should be recorded."""
    return device.type == "cuda" and os.environ.get("SKDEEP_CUDA_GRAPHS") == "1"


# what steps say of themselves


def at_each_step(work: Callable[[], Any]) -> None:
    """Do what the host does in each step; where one is recorded, before each replay."""
    recording = _local.recording
    if recording is None:
        work()
    else:
        recording.work.append(work)


def changing(value: Callable[[], float]) -> float | Tensor:
    """Return a number of the host, or for a graph the place where it will be."""
    recording = _local.recording
    if recording is None:
        watch = _local.watch
        if watch is not None:
            watch.n_numbers += 1
        return value()
    number: Tensor | None = next(recording.numbers, None)
    if number is None:
        raise RuntimeError("it has more changing numbers than the step before.")
    recording.work.append(lambda: number.fill_(value()))
    return number


def depends_on_host() -> None:
    """Say that the step running now cannot be recorded."""
    watch = _local.watch
    if watch is not None:
        watch.repeats = False


# watching, recording, replaying


class Watch(TorchFunctionMode):
    """Sees which generators steps draw from, and whether they depend on the host.

    Parameters
    ----------
    device : torch.device
        That of the steps: generators of others belong to the host.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.n_steps = 0
        self.n_numbers = 0
        self.repeats = True
        self.generators: dict[int, Generator] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Look for a generator among the arguments of a call."""
        kwargs = kwargs or {}
        for value in (*args, *kwargs.values()):
            if isinstance(value, Generator):
                self.generators[id(value)] = value
                self.repeats &= value.device.type == self.device.type
        return function(*args, **kwargs)

    def step(self, step: Step, index: Tensor) -> dict[str, Tensor]:
        """Make a step and look at it."""
        self.n_steps += 1
        self.n_numbers = 0
        _local.watch = self
        try:
            with self:
                return step(index)
        finally:
            _local.watch = None


class Recording:
    """A step as a graph, and what the host does before each replay.

    Parameters
    ----------
    step : callable
    index : Tensor
        Row numbers of a batch, of which only the number and the device count.
    watch : Watch
        What it saw of the step before: generators, and how many numbers change.
    stream : torch.cuda.Stream
        Of which no other graph is that is still replayed.

    Raises
    ------
    RuntimeError
        If the step does what no graph can hold.
    """

    def __init__(
        self, step: Step, index: Tensor, watch: Watch, stream: torch.cuda.Stream
    ) -> None:
        self.device = index.device
        self.index = index.clone()
        self.work: list[Callable[[], Any]] = []
        # Not made while recording: the graph would reuse their memory within a step.
        places = torch.zeros(watch.n_numbers, dtype=NUMBERS, device=self.device)
        self.numbers = iter(places.unbind())
        try:
            with (
                ONE_BY_ONE,
                torch.cuda.device(self.device),
                beside_current_stream(stream),
            ):
                self.graph = torch.cuda.CUDAGraph()
                for generator in watch.generators.values():
                    self.graph.register_generator_state(generator)
                self._record(step)
        except RuntimeError as error:
            raise RuntimeError(
                "A step could not be recorded as a CUDA graph, which SKDEEP_CUDA_GRAPHS"
                f"=1 asks for: {error} In a new process without this variable the fit "
                "runs."
            ) from error

    def _record(self, step: Step) -> None:
        torch.cuda.empty_cache()  # what is cached cannot be given back while recording
        self.graph.capture_begin(capture_error_mode="thread_local")
        _local.recording = self
        try:
            losses = step(self.index)
            self.losses = {name: loss.detach() for name, loss in losses.items()}
        except BaseException:
            with suppress(RuntimeError):  # says that recording failed, and not why
                self.graph.capture_end()
            raise
        finally:
            _local.recording = None
        self.graph.capture_end()

    def replay(self, index: Tensor) -> dict[str, Tensor]:
        """Make the step on a batch; the losses are overwritten by the next replay."""
        self.index.copy_(index)
        for work in self.work:
            work()
        self.graph.replay()
        return self.losses


@contextmanager
def beside_current_stream(stream: torch.cuda.Stream) -> Iterator[None]:
    """Let the GPU work on another stream, as recording demands, in the same order."""
    current = torch.cuda.current_stream(stream.device)
    stream.wait_stream(current)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        current.wait_stream(stream)


def stream_for(owner: Any, device: torch.device) -> torch.cuda.Stream:
    """Stream of its own for each owner; the next one of the thread takes it over.

    Memory and workspaces belong to a stream, so that new ones are dear. But a graph
    that dies takes the workspace of its stream along, which a living one may need.
    """
    idle = _local.__dict__.setdefault("idle", {}).setdefault(device, [])
    stream = idle.pop() if idle else torch.cuda.Stream(device)
    weakref.finalize(owner, idle.append, stream).atexit = False
    return stream


class Repeated:
    """The step that does the same, replaying a graph where that can be had.

    A few batches are watched before one is recorded. Batches of another size, as the
    last of an epoch may be, are not replayed. Of a step that depends on the host only
    at times, as of a warm-up, a later one is recorded.

    Parameters
    ----------
    step : callable
    batch_size : int
    device : torch.device
    """

    def __init__(self, step: Step, batch_size: int, device: torch.device) -> None:
        self.step = step
        self.batch_size = batch_size
        self.device = device
        self.watch = Watch(device)
        self.stream = stream_for(self, device)
        self.n_steps = 0
        self.recording: Recording | None = None

    def __call__(self, index: Tensor) -> dict[str, Tensor]:
        """Make the step on the rows of a batch."""
        self.n_steps += 1
        if self.n_steps % LOOK_AGAIN == 0 and not self.watch.repeats:
            self.watch = Watch(self.device)
        if len(index) != self.batch_size or not self.watch.repeats:
            return self.step(index)
        if self.watch.n_steps < N_WATCHED:
            with beside_current_stream(self.stream):
                return self.watch.step(self.step, index)
        if self.recording is None:
            self.recording = Recording(self.step, index, self.watch, self.stream)
        return self.recording.replay(index)


def repeated(step: Step, n_steps: int, batch_size: int, device: torch.device) -> Step:
    """Let a step of `n_steps` alike be `Repeated`, if graphs are asked for and pay."""
    if are_asked_for(device) and n_steps >= LEAST_STEPS:
        return Repeated(step, batch_size, device)
    return step
