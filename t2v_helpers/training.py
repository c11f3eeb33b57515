"""The training loop of every part of the course's model: a generator that yields steps and resumes exactly.

A task owns the modules that learn. Its batch of step k, and every random number of it, follow from (seed, k) alone,
and a checkpoint holds weights, averaged weights and the optimizer's whole state. So a training killed at any moment
and started again ends with the same weights, bit for bit, as one that was never killed.

A batch is learned in two halves, each by a thread of its own: many small operations use two cores better so than
operations that are split over two cores. There are always two, so the result does not depend on the machine's cores.
"""

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from t2v_helpers.checkpoints import check_weights
from t2v_helpers.files import write_whole
from t2v_helpers.muon import Muon


class Task(Protocol):
    """What is learned: the modules, the batches, the loss, and for how many steps."""

    name: str
    modules: nn.Module
    settings: dict[str, Any]  # plain numbers and words: a checkpoint of other settings is refused
    steps: int
    ema: float  # 0 keeps no average

    def batch(self, k: int) -> Any:
        """The data of step k, from (seed, k) alone."""

    def loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss (a scalar, the mean of the batch) and what the log shows of it. Called for each half of a batch."""

    def within(self, k: int) -> AbstractContextManager:
        """The context in which step k learns: `nullcontext()` where there is nothing to set."""

    def lr(self, k: int) -> float:
        """The learning rate of step k."""


@dataclass(frozen=True)
class Step:
    """One finished step: its number (from 1), the task's steps, the loss, what the log shows, seconds it took."""

    index: int
    total: int
    loss: float
    shown: dict[str, float]
    seconds: float


@dataclass
class State:
    """All that a training is: the optimizers (with the weights), the average of the weights, the steps done."""

    optimizers: list[torch.optim.Optimizer]
    average: dict[str, torch.Tensor]
    done: int = 0


def seeded(seed: int, build) -> nn.Module:
    """`build()` with weights drawn from `seed`; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def cosine(part: float) -> float:
    """1 at part = 0, 0 at part = 1, half a cosine between."""
    return 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))


def train(task: Task, folder: Path, save_every: int = 200) -> Iterator[Step]:
    """Train `task`, yield after every step, and keep `folder`/checkpoint.safetensors, from which it goes on.

    Raises ValueError where the checkpoint is damaged or of other settings, FloatingPointError where the loss is not
    finite (the last checkpoint stays).
    """
    state = restore(task, folder)
    task.modules.train()
    with ThreadPoolExecutor(1) as ahead:  # draws the next batch while this one is learned
        upcoming = ahead.submit(task.batch, state.done)
        while state.done < task.steps:
            start, batch = time.perf_counter(), upcoming.result()
            upcoming = ahead.submit(task.batch, state.done + 1)
            loss, shown = _learn(task, state, batch)
            if state.done % save_every == 0 or state.done == task.steps:
                save(task, state, folder)
            yield Step(state.done, task.steps, loss, shown, time.perf_counter() - start)


def _learn(task: Task, state: State, batch: Any) -> tuple[float, dict[str, float]]:
    """One step of the optimizers; the gradient's norm is held to 1."""
    parameters = list(task.modules.parameters())
    with task.within(state.done), _one_thread_each(), ThreadPoolExecutor(2) as workers:
        results = list(workers.map(lambda part: _gradients(task, parameters, part), _halves(batch)))
    losses, gradients, shown = zip(*results, strict=True)
    for p, *parts in zip(parameters, *gradients, strict=True):
        p.grad = None if parts[0] is None else sum(parts) / len(parts)
    loss = sum(losses) / len(losses)
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss of {task.name} is {loss} at step {state.done}; lower the learning rate.")
    _step(task, state, parameters)
    return loss, {name: sum(part[name] for part in shown) / len(shown) for name in shown[0]}


def _gradients(task: Task, parameters: list[nn.Parameter], batch: Any) -> tuple[float, tuple, dict[str, float]]:
    loss, shown = task.loss(batch)
    return loss.item(), torch.autograd.grad(loss, parameters, allow_unused=True), shown


def _halves(batch: Any) -> list[Any]:
    """The even and the odd samples; all of them where there is only one."""
    return [batch] if _size(batch) < 2 else [_every_second(batch, 0), _every_second(batch, 1)]


def _size(batch: Any) -> int:
    return len(batch) if isinstance(batch, torch.Tensor) else _size(batch[0])


def _every_second(batch: Any, first: int) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch[first::2]
    if isinstance(batch, dict):
        return {name: _every_second(x, first) for name, x in batch.items()}
    return tuple(_every_second(x, first) for x in batch)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _step(task: Task, state: State, parameters: list[nn.Parameter]) -> None:
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = task.lr(state.done)
        with _one_thread_each():
            optimizer.step()
    _average(task, state)
    state.done += 1


def _average(task: Task, state: State) -> None:
    """Exponential moving average of the weights, short at the start: min(ema, (1 + k) / (10 + k))."""
    keep = min(task.ema, (1 + state.done) / (10 + state.done))
    weights = task.modules.state_dict()
    torch._foreach_lerp_([state.average[n] for n in weights], [weights[n] for n in weights], 1 - keep)


def start(task: Task) -> State:
    """A training that has done nothing yet: Muon for the matrices, AdamW for embeddings, biases and norms."""
    matrices, others = [], []
    embeddings = {id(m.weight) for m in task.modules.modules() if isinstance(m, nn.Embedding)}
    for p in task.modules.parameters():
        (matrices if p.ndim > 1 and id(p) not in embeddings else others).append(p)
    adam = torch.optim.AdamW(others, lr=task.lr(0), betas=(0.9, 0.99), weight_decay=0.0)
    return State([Muon(matrices, task.lr(0)), adam], {n: x.clone() for n, x in task.modules.state_dict().items()})


def restore(task: Task, folder: Path) -> State:
    """The state in `folder`'s checkpoint, its weights loaded into the task; a new state where there is none.

    Raises ValueError where the checkpoint is damaged or of other settings.
    """
    state, path = start(task), Path(folder) / "checkpoint.safetensors"
    if not path.exists():
        return state
    try:
        about, tensors = _read(path)
        same = _same(task, json.loads(about["settings"]), about["done"])
        if same:
            _load(task, state, about["done"], tensors)
    except (SafetensorError, ValueError) as error:
        why = str(error).rstrip(".")
        raise ValueError(f"{path} is no whole checkpoint ({why}): delete it and train {task.name} again.") from error
    if not same:
        raise ValueError(f"{path} is of other settings: {about['settings']}; use these, or another folder.")
    return state


def _same(task: Task, settings: dict, done: str) -> bool:
    """Whether a checkpoint's settings are the task's, or those of another plan with the same past."""
    if settings == json.loads(json.dumps(task.settings)):
        return True
    told = hasattr(task, "same_past") and settings.keys() == task.settings.keys() and done.isdecimal()
    return told and task.same_past(settings, int(done))


def save(task: Task, state: State, folder: Path) -> None:
    """Write the checkpoint, whole or not at all."""
    parts = {"weights": task.modules.state_dict(), "average": state.average}
    parts |= {f"optimizer{i}": _optimizer(optimizer) for i, optimizer in enumerate(state.optimizers)}
    tensors = {f"{part}/{name}": x.clone() for part, named in parts.items() for name, x in named.items()}
    about = {"settings": json.dumps(task.settings), "done": str(state.done), "tensors": str(len(tensors))}
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_whole(Path(folder) / "checkpoint.safetensors", lambda p: save_file(tensors, str(p), metadata=about))


def averaged(task: Task, folder: Path, finished: bool = True) -> nn.Module:
    """The task's modules with the averaged weights of the checkpoint, in eval mode.

    Raises ValueError where the training is not finished; with `finished=False` the weights are taken as they are.
    """
    state = restore(task, folder)
    if finished and state.done < task.steps:
        raise ValueError(
            f"stage {task.name} is not finished ({state.done} of {task.steps} steps in {folder}): "
            f"run `t2v train {task.name}` first, with the same --runs and --quick."
        )
    task.modules.load_state_dict(state.average)
    return task.modules.eval()


def _read(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    with safe_open(str(path), "pt") as file:
        about = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not about.keys() >= {"settings", "done", "tensors"}:
        raise ValueError("its header does not say settings, done and tensors")
    if about["tensors"] != str(len(tensors)):
        raise ValueError(f"it has {len(tensors)} tensors, but its header says {about['tensors']}")
    return about, tensors


def _load(task: Task, state: State, done: str, tensors: dict[str, torch.Tensor]) -> None:
    """Fill task and state. Raises ValueError where a tensor or the number of steps does not fit them."""
    if not done.isdecimal() or int(done) > task.steps:
        raise ValueError(f"done is {done!r}, but must be from 0 to {task.steps}")
    for part in ("weights", "average"):
        check_weights(_part(tensors, part), task.modules.state_dict())
    task.modules.load_state_dict(_part(tensors, "weights"))
    state.average, state.done = _part(tensors, "average"), int(done)
    for i, optimizer in enumerate(state.optimizers):
        _load_optimizer(optimizer, _part(tensors, f"optimizer{i}"))


def _part(tensors: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(f"{part}/"): x for name, x in tensors.items() if name.startswith(f"{part}/")}


def _optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    states = optimizer.state_dict()["state"].items()
    return {f"{i}/{name}": x for i, state in states for name, x in state.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, x in tensors.items():
        i, name = key.split("/")
        state.setdefault(int(i), {})[name] = x
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
