"""What leaves training as it was: networks at inference, random numbers, modes and buffers."""

import functools
import inspect
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

_PARALLEL = (DataParallel, DistributedDataParallel)
_SEED = 1_597_463_007  # none that data are likely to be drawn with: noise would equal them


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """All layers as at inference, afterwards each as it was; no gradient is recorded by default."""
    trained = [layer for layer in module.modules() if layer.training]
    for layer in trained:
        layer.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for layer in trained:
            layer.training = True


@contextmanager
def same_rng() -> Iterator[None]:
    """The same global random numbers each time, of torch, numpy and Python; then as they were."""
    # Where CUDA has not begun, seeding it now would still take effect when it does.
    gpus = torch.cuda.default_generators if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    generators = [torch.default_generator, *gpus]
    states = [generator.get_state() for generator in generators]
    others = random.getstate(), np.random.get_state()
    try:
        for generator in generators:
            generator.manual_seed(_SEED)
        random.seed(_SEED)
        np.random.seed(_SEED)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        random.setstate(others[0])
        np.random.set_state(others[1])


@contextmanager
def alone(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Networks run without what runs them on several devices, which waits for the others."""
    parallel = [each for m in modules for each in m.modules() if isinstance(each, _PARALLEL)]
    for each in parallel:
        each.forward = each.module.__call__  # type: ignore[method-assign]
    try:
        yield
    finally:
        for each in parallel:
            del each.forward


@contextmanager
def put_back(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Networks may run in any mode: that and their buffers are then as they were."""
    modes = [(layer, layer.training) for module in modules for layer in module.modules()]
    buffers = [(own, own.clone()) for layer, _ in modes for own in layer.buffers(recurse=False)]
    try:
        yield
    finally:
        with torch.no_grad():
            for layer, training in modes:
                layer.training = training
            for own, before in buffers:
                own.copy_(before)


def modules_of(function: Any) -> list[nn.Module]:
    """The networks that a function refers to: itself, or by variables and by their attributes."""
    found: dict[int, nn.Module] = {}
    seen: set[tuple[int, int, frozenset[str]]] = set()

    def reach(value: Any, names: frozenset[str]) -> None:
        """Goes on from a value, by attributes of these names, which a function uses."""
        method = isinstance(value, MethodType)  # which is made anew wherever it is named
        own, owner = (value.__func__, value.__self__) if method else (value, None)
        key = (id(own), id(owner), names)
        if key in seen or len(seen) > 1000 or isinstance(value, (type, ModuleType)):
            return
        seen.add(key)
        if isinstance(value, functools.partial):
            parts: Iterable[Any] = (value.func, *value.args, *value.keywords.values())
        elif method:
            reach(own, names)
            parts, names = [owner], _names(own)
        elif isinstance(value, FunctionType):
            parts, names = _variables(value), _names(value)
        elif isinstance(value, (list, tuple)):
            parts = value[:100]
        elif isinstance(value, dict):
            parts = list(value.values())[:100]
        else:
            parts = _attributes(value, names)
            if isinstance(value, nn.Module) and not parts:
                found[id(value)] = value
        for part in parts:
            reach(part, names)

    reach(function, frozenset())
    return list(found.values())


def _attributes(value: Any, names: frozenset[str]) -> list[Any]:
    """Networks and other values of an object, and methods of its own class, that are named."""
    inner: dict[str, Any] = dict(value.named_children()) if isinstance(value, nn.Module) else {}
    inner |= getattr(value, "__dict__", {})
    parts = [inner[name] for name in names & inner.keys()]
    for name in names - inner.keys() - {"forward"}:
        method = inspect.getattr_static(type(value), name, None)
        if isinstance(method, FunctionType) and not hasattr(nn.Module, name):
            parts.append(MethodType(method, value))
    if not isinstance(value, nn.Module) and "__call__" in vars(type(value)):
        method = vars(type(value))["__call__"]
        parts += [MethodType(method, value)] if isinstance(method, FunctionType) else []
    return parts


def _variables(function: FunctionType) -> list[Any]:
    try:
        names = inspect.getclosurevars(function)
    except ValueError:  # a variable has no value yet
        return []
    return [*names.nonlocals.values(), *names.globals.values()]


def _names(function: Any) -> frozenset[str]:
    """The attributes and globals that a function names, those within it too."""
    names, codes = set(), [getattr(function, "__code__", None)]
    for code in codes:
        if isinstance(code, CodeType):
            names |= set(code.co_names)
            codes += code.co_consts
    return frozenset(names)
