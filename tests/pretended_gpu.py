"""A GPU that is not there, for tests of where tensors are.

On a machine without a GPU a mistake of devices shows nowhere. Here tensors of the CPU
are marked, by their storage, as lying on a GPU or not, and say so if they are asked for
their device. To mix both in one operation, to draw from a generator of the other
device, or to read a marked one as an array raises, as torch does on a real one.
"""

import sys
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")

MOVES = {"to", "cpu", "cuda"}
MAY_MIX = {"copy_", "_to_copy", "set_", "_has_compatible_shallow_copy_type"}
INDEXES = {"index", "index_put_", "_index_put_impl_"}


class PretendedGenerator(torch.Generator):
    """Generator of the CPU that says it is of the device it was asked for."""

    def __new__(cls, device="cpu"):
        generator = super().__new__(cls, "cpu")
        generator.on_gpu = str(device).startswith("cuda")
        return generator

    @property
    def device(self):
        return GPU if self.on_gpu else CPU


class Marks:
    """Which storages are on the GPU."""

    def __init__(self):
        self.on_gpu = {}

    def __contains__(self, tensor):
        return bool(self.on_gpu.get(storage_of(tensor)))

    def knows_on_cpu(self, tensor):
        """Whether it is on the CPU: one without numbers is anywhere."""
        return self.on_gpu.get(storage_of(tensor)) is False

    def mark(self, results, on_gpu, but=()):
        """Mark the tensors among some results, but those that were there before."""
        known = {storage_of(tensor) for tensor in but}
        for tensor in tensors_of(results):
            storage = storage_of(tensor)
            if storage is not None and storage not in known:
                self.on_gpu[storage] = on_gpu


def tensors_of(*values):
    return [v for v in tree_leaves(values) if isinstance(v, torch.Tensor)]


def storage_of(tensor):
    return None if tensor.is_meta else tensor.untyped_storage().data_ptr() or None


class Operations(TorchDispatchMode):
    """Marks what each operation makes, and refuses to mix."""

    def __init__(self, marks):
        super().__init__()
        self.marks = marks
        self.asked_for = False
        """Whether what is made of nothing is on the GPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = tensors_of(args, kwargs)
        name = function.__name__.split(".")[0]
        on_gpu = [tensor for tensor in given if tensor in self.marks]
        on_cpu = [t for t in given if t.ndim and self.marks.knows_on_cpu(t)]
        if name in INDEXES:  # indices may be on the CPU
            on_cpu = [t for t in on_cpu if t.dtype not in (torch.int64, torch.bool)]
        if on_gpu and on_cpu and name not in MAY_MIX:
            raise RuntimeError(f"{name} mixes tensors of the GPU and of the CPU")
        results = function(*args, **(kwargs or {}))
        there = bool(on_gpu) or (not given and self.asked_for)
        if given and not any(storage_of(tensor) for tensor in given):
            there = None  # made of no numbers: anywhere
        self.marks.mark(results, there, given)
        return results


class Calls(TorchFunctionMode):
    """Hears which device is asked for, and answers which one a tensor is on."""

    def __init__(self, marks, operations):
        super().__init__()
        self.marks = marks
        self.operations = operations

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = function.__name__
        given = tensors_of(args, kwargs)
        if function == torch.Tensor.device.__get__:
            tensor = args[0]
            if tensor.is_meta:
                return torch.device("meta")
            return GPU if tensor in self.marks else CPU
        asked = self.device_asked_for(name, args, kwargs)
        if asked == "meta":
            return function(*args, **kwargs)
        if "device" in kwargs:
            kwargs["device"] = CPU
        if name == "to":
            args = tuple(CPU if is_gpu(value) else value for value in args)
        moved = given[:1] if name in MOVES else given
        here = any(tensor in self.marks for tensor in moved)
        there = here if asked is None else asked == "cuda"
        for generator in (*args, *kwargs.values()):
            if isinstance(generator, PretendedGenerator) and generator.on_gpu != there:
                raise RuntimeError(f"{name} draws from a generator of another device")
        if name in ("numpy", "__array__") and here:
            raise TypeError("cannot read a tensor of the GPU as an array")
        before, self.operations.asked_for = self.operations.asked_for, there
        try:
            result = function(*args, **kwargs)
        finally:
            self.operations.asked_for = before
        if name in MOVES and there != here:
            if storage_of(result) == storage_of(given[0]):
                result = result.clone()
            self.marks.mark(result, there)
        elif asked is not None and name not in MOVES:
            self.marks.mark(result, there)
        return result

    def device_asked_for(self, name, args, kwargs):
        """Type of the device that a call names, None if it names none."""
        if name in ("cpu", "cuda"):
            return name
        named = [kwargs.get("device"), *(args[1:] if name == "to" else ())]
        for value in named:
            if isinstance(value, torch.device | str):
                return str(value).partition(":")[0]
            if name == "to" and isinstance(value, torch.Tensor):
                return "cuda" if value in self.marks else "cpu"
        return None


def is_gpu(value):
    return isinstance(value, torch.device | str) and str(value).startswith("cuda")


@contextmanager
def pretended_gpu(monkeypatch):
    """Let skdeep find a GPU, and put the networks and rows of its fits on it."""
    marks = Marks()
    operations = Operations(marks)
    from_numpy = torch.from_numpy

    def marked_from_numpy(array):  # no call that a mode hears
        tensor = from_numpy(array)
        marks.mark(tensor, on_gpu=False)
        return tensor

    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "mem_get_info", lambda _=None: (2**34, 2**34))
        patch.setattr(torch.cuda, "get_device_capability", lambda _=None: (7, 0))
        patch.setattr(torch, "from_numpy", marked_from_numpy)
        for name, module in list(sys.modules.items()):
            if name.startswith("skdeep") and hasattr(module, "Generator"):
                patch.setattr(module, "Generator", PretendedGenerator)
        with operations, Calls(marks, operations):
            yield
