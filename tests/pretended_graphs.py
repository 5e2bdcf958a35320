"""CUDA graphs that are not there, for tests of what a graph repeats.

A graph repeats kernels on the tensors that they were recorded with, and nothing that
Python did. Here the operations of the CPU are recorded in place of kernels, and
repeated on the same tensors. What cannot be recorded on a GPU, as reading a number
back, or drawing from a generator that the graph was not told of, raises here, too.
"""

import math

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skdeep.training import graphs

READ_BACK = {
    *("_local_scalar_dense", "bincount", "equal", "is_nonzero"),
    *("masked_select", "nonzero", "unique_dim", "_unique2"),
}
"""Operations of which the host has to wait for numbers."""

OF_THE_HOST = {"as_tensor", "cpu", "item", "numpy", "tensor", "tolist"}
"""Calls that make a tensor of numbers of the host, or the other way round."""


class PretendedGraph:
    """What a test sees of `torch.cuda.CUDAGraph`."""

    made: list["PretendedGraph"] = []

    def __init__(self):
        self.generators = []
        self.n_replays = 0
        PretendedGraph.made.append(self)

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def capture_begin(self, capture_error_mode):
        assert capture_error_mode == "thread_local"
        self.states = [generator.get_state() for generator in self.generators]
        self.operations = Operations()
        self.calls = Calls(self.operations, self.generators)
        self.operations.__enter__()
        self.calls.__enter__()

    def capture_end(self):
        self.calls.__exit__(None, None, None)
        self.operations.__exit__(None, None, None)
        # On a GPU nothing has run yet.
        self.operations.undo()
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.set_state(state)
        if self.operations.has_failed:
            raise RuntimeError("failed due to a previous error while recording")

    def replay(self):
        self.n_replays += 1
        self.operations.forget()
        self.operations.repeat()


class Operations(TorchDispatchMode):
    """Records the operations inside it, with the very tensors that they are of."""

    def __init__(self):
        super().__init__()
        self.refused = READ_BACK
        self.has_failed = False
        self.recorded, self.held = [], []
        self.made = set()
        self.overwritten = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.__name__.split(".")[0]
        masks = name.startswith("index") and any(
            isinstance(v, torch.Tensor) and v.dtype == torch.bool
            for v in tree_leaves(args[1])
        )
        looks = name == "multinomial" and args[1] == 1
        if name in self.refused or masks or looks:
            self.has_failed = True
            raise RuntimeError(f"{name} waits for the GPU, which is recording")
        self.keep(written(function, args, kwargs))
        results = function(*args, **kwargs)
        if not function.is_view:
            made = [r for r in tensors(results) if r.untyped_storage().nbytes()]
            given = {storage(t) for t in tensors((args, kwargs))}
            self.made |= {storage(r) for r in made} - given
        if not function.is_view and "empty" not in name:  # neither is a kernel
            self.recorded.append((function, args, kwargs, results))
        else:
            self.held.append(results)
        return results

    def keep(self, targets):
        for target in targets:
            place = storage(target)
            if place not in self.made and place not in self.overwritten:
                whole = target.untyped_storage()
                self.overwritten[place] = whole, whole.clone()

    def undo(self):
        for whole, before in self.overwritten.values():
            whole.copy_(before)

    def forget(self):
        """Spoil what was made while recording: graphs use this memory again."""
        with torch.no_grad():
            for result in tensors([*self.held, *(call[-1] for call in self.recorded)]):
                if result.is_floating_point() and storage(result) in self.made:
                    result.fill_(math.nan)

    def repeat(self):
        with torch.no_grad():
            for function, args, kwargs, results in self.recorded:
                again = tensors(function(*args, **kwargs))
                for place, value in zip(tensors(results), again, strict=True):
                    if place.data_ptr() != value.data_ptr():
                        place.copy_(value)


class Calls(TorchFunctionMode):
    """Refuses calls that no graph can hold."""

    def __init__(self, operations, generators):
        super().__init__()
        self.operations = operations
        self.generators = generators

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function.__name__ in OF_THE_HOST:
            raise RuntimeError(f"{function.__name__} needs the host, in a recording")
        if function.__name__ == "one_hot":  # checks its numbers on the CPU alone
            kept, self.operations.refused = self.operations.refused, ()
            try:
                return function(*args, **kwargs)
            finally:
                self.operations.refused = kept
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Generator):
                assert any(value is known for known in self.generators), "unregistered"
        return function(*args, **kwargs)


class PretendedStream:
    """A stream of a GPU, of which there is one."""

    def __init__(self, device=None):
        self.device = device

    def wait_stream(self, other):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def tensors(values):
    return [v for v in tree_leaves(values) if isinstance(v, torch.Tensor)]


def storage(tensor):
    return tensor.untyped_storage().data_ptr()


def written(function, args, kwargs):
    """Tensors that an operation writes into."""
    arguments = function._schema.arguments
    named = {a.name: value for a, value in zip(arguments, args, strict=False)}
    named |= kwargs
    # Those of batch normalisation keep silent about their running means.
    writes = {a.name for a in arguments if a.alias_info and a.alias_info.is_write}
    writes |= {"running_mean", "running_var"}
    return tensors([value for name, value in named.items() if name in writes])


def pretend_graphs(monkeypatch):
    """Let fits record and replay their steps, on any device and also of short epochs.

    Changing numbers are rounded as those of Python, for fits to be equal to the bit.
    """
    monkeypatch.setattr(PretendedGraph, "made", [])
    monkeypatch.setattr(graphs, "are_asked_for", lambda _: True)
    monkeypatch.setattr(graphs, "LEAST_STEPS", 5)
    monkeypatch.setattr(graphs, "LOOK_AGAIN", 5)
    monkeypatch.setattr(graphs._local, "idle", {}, raising=False)
    monkeypatch.setattr(graphs, "NUMBERS", torch.float64)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", PretendedGraph)
    monkeypatch.setattr(torch.cuda, "Stream", PretendedStream)
    monkeypatch.setattr(torch.cuda, "current_stream", PretendedStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "device", PretendedStream)
    return PretendedGraph.made
