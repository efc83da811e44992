"""Several processes, one run: each takes its share of every batch, and the losses are those of one process.

`torchrun --nproc_per_node 2 script.py`, or `accelerate launch --multi_gpu --num_processes 2 script.py` (with
or without a GPU: the processes talk through gloo), starts a script several times; SFT, reward model and PPO
then share the work. Batches are made before they are shared, and a gradient is divided by the count of the
whole batch before the processes' gradients are added up, so neither depends on how many there are. In one
process every function here hands back what it was given.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn


def own_share(rows: Any) -> Any:
    """This process's rows of a batch, list or tensor: every n-th, so that sorted rows share out evenly."""
    state = PartialState(cpu=True)
    return rows[state.process_index :: state.num_processes]


def own_slice(count: int) -> slice:
    """This process's part of rows 0 … count - 1, in one piece."""
    state = PartialState(cpu=True)
    first, end = (count * (state.process_index + i) // state.num_processes for i in (0, 1))
    return slice(first, end)


def gathered(rows: Sequence[Any]) -> list[Any]:
    """The rows of all processes, in their order."""
    return gather_object(list(rows))


def total(x: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if PartialState(cpu=True).num_processes > 1:
        torch.distributed.all_reduce(x)
    return x


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by the sum over all processes; a process without rows adds nothing."""
    if PartialState(cpu=True).num_processes == 1:
        return
    parameters = [p for p in parameters if p.requires_grad]
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    sums = total(torch.cat([p.grad.flatten() for p in parameters]))
    for p, part in zip(parameters, sums.split([p.numel() for p in parameters]), strict=True):
        p.grad.copy_(part.view_as(p))


def is_main() -> bool:
    """Whether this is the process that prints and writes."""
    return PartialState(cpu=True).is_main_process


def written_once(save: Callable) -> Callable:
    """Decorator: the main process alone runs `save`; the others wait until it is done and return the same, or raise the
    same error: left waiting, they would hang."""

    @functools.wraps(save)
    def run(*args, **kwargs):
        result, error = None, None
        if is_main():
            try:
                result = save(*args, **kwargs)
            except Exception as err:  # noqa: BLE001 - whatever it is, all processes must hear of it
                error = err
        result, error = broadcast_object_list([result, error])
        if error is not None:
            raise error
        return result

    return run
