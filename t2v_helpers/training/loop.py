"""The training loop for every part of the course's model: a generator that yields steps and resumes exactly.

A task owns the modules that learn. The batch of step k, with its random numbers, follows from (seed, k) alone, and a
checkpoint holds the weights, their average and the whole optimizer state. A training that is killed at any moment and
started again therefore ends with the same weights, bit for bit, as one that ran through.

On a CPU each batch is split in two halves, one per thread: with many small operations, two cores work faster this way
than when they share each operation. There are always two halves, so the result does not depend on the number of cores.
A GPU takes each batch whole; its sums differ in the last digits, and a training may move there or back at any step.
"""

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from t2v_helpers.core import checking
from t2v_helpers.core.files import named, parse_json, reason, tidy, write_whole
from t2v_helpers.core.tensors import check as check_weights
from t2v_helpers.core.tensors import opened
from t2v_helpers.training.muon import Muon


class Task:
    """What is learned. A subclass sets `name` and `ema`, and writes `batch` and `loss`.

    `settings` is a dataclass with at least steps, lr and warm_up; a checkpoint of other settings is refused.
    """

    name: ClassVar[str]
    ema: ClassVar[float]  # decay of the average of the weights
    device = torch.device("cpu")

    def __init__(self, settings: Any, modules: nn.Module):
        self.settings, self.modules, self.steps = settings, modules, settings.steps

    def to(self, device: str | torch.device) -> "Task":
        """The task itself, with what it learns and what it needs for that on a device."""
        self.device = torch.device(device)
        for name, part in vars(self).items():
            if isinstance(part, nn.Module | Tensor):
                setattr(self, name, part.to(self.device))
        return self

    def batch(self, k: int) -> Any:
        """The data of step k, from (seed, k) alone: tensors [b ...], in tuples or dicts."""
        raise NotImplementedError

    def loss(self, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """The mean loss (a scalar), and figures for the log. Called for each half of a batch."""
        raise NotImplementedError

    def within(self, k: int) -> AbstractContextManager:
        """The context in which step k learns."""
        return nullcontext()

    def lr(self, k: int) -> float:
        """The learning rate of step k: linear warm-up, and a cosine to zero."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(k / self.steps, 1.0)))
        return self.settings.lr * min(1, (k + 1) / self.settings.warm_up) * cosine

    def fingerprint(self) -> dict[str, Any]:
        """What decides the weights, as plain numbers and words; it is stored in the checkpoint."""
        return json.loads(json.dumps(asdict(self.settings)))

    def same_past(self, settings: dict[str, Any], done: int) -> bool:
        """Whether a checkpoint after `done` steps with these settings may be continued with this task's."""
        return settings == self.fingerprint()


@dataclass(frozen=True)
class Step:
    """A finished step: its number (from 1), the total, the loss, figures for the log, its duration in s."""

    index: int
    total: int
    loss: float
    shown: dict[str, float]
    seconds: float


@dataclass
class State:
    """Complete training state: the optimizers (with the weights), the average of the weights, the steps done."""

    optimizers: list[torch.optim.Optimizer]
    average: dict[str, Tensor]
    done: int = 0


def train(task: Task, folder: Path, save_every: int = 200) -> Iterator[Step]:
    """Train `task`, yield after every step, and resume from `folder`/checkpoint.safetensors.

    Errors: ValueError where the checkpoint is damaged or of other settings; FloatingPointError where the loss is not
    finite (the last checkpoint stays).
    """
    tidy(folder)
    state = restore(task, folder)
    task.modules.train()
    with ThreadPoolExecutor(1) as ahead:  # prepares the next batch in the meantime
        upcoming = ahead.submit(task.batch, state.done)
        while state.done < task.steps:
            start, batch = time.perf_counter(), moved(upcoming.result(), task.device)
            upcoming = ahead.submit(task.batch, state.done + 1)
            loss, shown = _learn(task, state, batch)
            if state.done % save_every == 0 or state.done == task.steps:
                save(task, state, folder)
            yield Step(state.done, task.steps, loss, shown, time.perf_counter() - start)


def _learn(task: Task, state: State, batch: Any) -> tuple[float, dict[str, float]]:
    """One step of the optimizers, with the norm of the gradient clipped to 1."""
    parameters = list(task.modules.parameters())
    with task.within(state.done), _one_thread_each(), ThreadPoolExecutor(2) as workers:
        results = list(workers.map(lambda part: _gradients(task, parameters, part), _parts(task, batch)))
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


def moved(batch: Any, device: torch.device) -> Any:
    """A batch on a device: tensors, in tuples or dicts."""
    return tree_map(lambda x: x.to(device), batch)


def _parts(task: Task, batch: Any) -> list[Any]:
    """What is computed side by side: the halves of a batch on a CPU, the whole of it on a GPU."""
    return _halves(batch) if task.device.type == "cpu" else [batch]


def _halves(batch: Any) -> list[Any]:
    """The even and the odd samples, or the whole batch if it has only one."""
    if len(tree_leaves(batch)[0]) < 2:
        return [batch]
    return [tree_map(lambda x, first=first: x[first::2], batch) for first in (0, 1)]


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
    """The state before the first step: Muon for matrices, AdamW for embeddings, biases and norms."""
    matrices, others = [], []
    embeddings = {id(m.weight) for m in task.modules.modules() if isinstance(m, nn.Embedding)}
    for p in task.modules.parameters():
        (matrices if p.ndim > 1 and id(p) not in embeddings else others).append(p)
    adam = torch.optim.AdamW(others, lr=task.lr(0), betas=(0.9, 0.99), weight_decay=0.0)
    return State([Muon(matrices, task.lr(0)), adam], {n: x.clone() for n, x in task.modules.state_dict().items()})


def restore(task: Task, folder: Path) -> State:
    """The state in `folder`'s checkpoint, with its weights loaded into the task; a new state if there is none.

    ValueError: the checkpoint is damaged or of other settings.
    """
    state, path = start(task), Path(folder) / "checkpoint.safetensors"
    if not path.exists():
        return state
    try:
        about, tensors = _read(path)
        settings = parse_json(about["settings"])
        same = settings.keys() == task.fingerprint().keys() and task.same_past(settings, _done(about, task))
        if same:
            _load(task, state, _done(about, task), tensors)
    except ValueError as error:
        why = reason(error)
        raise ValueError(f"{named(path)} is damaged ({why}): delete it and train {task.name} again.") from error
    if not same:
        given = named(_differing(settings, task))
        raise ValueError(f"{named(path)} is of other settings: {given}; use these, or another folder.")
    return state


def _differing(settings: dict[str, Any], task: Task) -> str:
    """Which settings of a checkpoint are not the task's, both as JSON."""
    own = task.fingerprint()
    return ", ".join(
        f"{name} is {json.dumps(settings.get(name))}, not {json.dumps(own.get(name))}"
        for name in own | settings
        if settings.get(name) != own.get(name)
    )


def save(task: Task, state: State, folder: Path) -> None:
    """Write the checkpoint, whole or not at all."""
    parts = {"weights": task.modules.state_dict(), "average": state.average}
    parts |= {f"optimizer{i}": _optimizer(optimizer) for i, optimizer in enumerate(state.optimizers)}
    tensors = {f"{part}/{name}": x.clone() for part, named in parts.items() for name, x in named.items()}
    about = {"settings": json.dumps(task.fingerprint()), "done": str(state.done), "tensors": str(len(tensors))}
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_whole(Path(folder) / "checkpoint.safetensors", lambda p: save_file(tensors, str(p), metadata=about))


def averaged(task: Task, folder: Path, finished: bool = True) -> nn.Module:
    """The task's modules with the checkpoint's averaged weights, on the CPU and in eval mode.

    ValueError: the training is not finished, unless `finished=False`; see `restore`.
    """
    state = restore(task.to("cpu"), folder)
    if finished and state.done < task.steps:
        raise ValueError(
            f"stage {task.name} is not finished ({state.done} of {task.steps} steps in {named(folder)}): "
            f"run `t2v train {task.name}` first, with the same --runs and --quick."
        )
    task.modules.load_state_dict(state.average)
    return task.modules.eval()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with opened(path, ours=True) as file:
        about = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not about.keys() >= {"settings", "done", "tensors"}:
        raise ValueError("its header lacks settings, done or tensors")
    if about["tensors"] != str(len(tensors)):
        raise ValueError(f"it has {len(tensors)} tensors, but its header says {checking.shown(about['tensors'])}")
    return about, tensors


def _done(about: dict[str, str], task: Task) -> int:
    """The steps that a checkpoint's header says are done. ValueError: no number, or more than the task has."""
    if not about["done"].isdecimal() or int(about["done"]) > task.steps:
        raise ValueError(f"done={checking.shown(about['done'])} is not from 0 to {task.steps}")
    return int(about["done"])


def _load(task: Task, state: State, done: int, tensors: dict[str, Tensor]) -> None:
    """Fill task and state. ValueError: a tensor does not fit."""
    for part in ("weights", "average"):
        check_weights(_part(tensors, part), task.modules.state_dict())
    task.modules.load_state_dict(_part(tensors, "weights"))
    state.average, state.done = moved(_part(tensors, "average"), task.device), done
    for i, optimizer in enumerate(state.optimizers):
        _load_optimizer(optimizer, _part(tensors, f"optimizer{i}"))


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): x for name, x in tensors.items() if name.startswith(f"{part}/")}


def _optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    states = optimizer.state_dict()["state"].items()
    return {f"{i}/{name}": x for i, state in states for name, x in state.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, x in tensors.items():
        i, name = key.split("/")
        state.setdefault(int(i), {})[name] = x
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
