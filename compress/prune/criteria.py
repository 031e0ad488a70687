"""Importance of each unit of a channel group. To add one, write its function and a row in `compress.choices`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from compress.choices import CRITERIA, Criterion
from compress.errors import PlanError
from compress.files import digest_bytes
from compress.prune.groups import SILENCED, Group, Member
from compress.registry import pick

EPSILON = 1e-5
"""What BatchNorm adds to the variance: torch's default, which is not part of the state dict."""


@dataclass(frozen=True, eq=False)
class Context:
    """What a criterion may look at besides the group itself."""

    tensors: Mapping[str, torch.Tensor]
    """The state dict."""
    gradients: Mapping[str, torch.Tensor] | None
    """Per parameter: its mean gradient (shape of the parameter), or those of several batches (batches, ...)."""
    seed: int


def l1(group: Group, context: Context) -> np.ndarray:
    """L1 norm of everything that a unit's removal takes away: its filters and its consumers' slices.

    Li 2017 (arXiv:1608.08710) for the filter alone; Fang 2023 (arXiv:2301.12900) for the sum over
    the coupled group. Each tensor is divided by its mean first, so that a large consumer does not
    drown the filter. Biases and norms are left out: their scale is not the filter's.
    """
    return _coupled(group, context, order=1)


def l2(group: Group, context: Context) -> np.ndarray:
    """As `l1` with Euclidean norms, the usual variant of Fang 2023 (arXiv:2301.12900)."""
    return _coupled(group, context, order=2)


def bn_scale(group: Group, context: Context) -> np.ndarray:
    """What the norms let pass: |gamma|, times the filter where the norm keeps the filter's scale.

    Network slimming, Liu 2017 (arXiv:1708.06519), folded: |gamma| / sqrt(running variance + 1e-5)
    times the L1 norm of the filter is the filter with its BatchNorm folded in. Norms without running
    statistics divide the filter's scale away: |gamma| alone. The filter of a norm is the one that ran
    last before it; several norms add up, each over its mean. Without any norm: `l1` (see `describe`).
    """
    norms = _norms(group)
    if not norms:
        return l1(group, context)
    return np.sum([comparable(_passed(norm, context)) for norm in norms], axis=0)


def fpgm(group: Group, context: Context) -> np.ndarray:
    """Sum of a filter's Euclidean distances to all others: what others can stand in for leaves first.

    He 2019 (arXiv:1811.00250). Coupled filters are put side by side, each tensor over its mean norm.
    """
    filters = torch.cat([_rows(m, context) for m in group.members if m.role == "filter"], dim=1)
    return torch.cdist(filters, filters).sum(1).numpy()


def taylor(group: Group, context: Context) -> np.ndarray:
    """First-order change of the loss when all that masking silences becomes zero: |sum of gradient * weight|.

    Molchanov 2019 (arXiv:1906.10771); the absolute value instead of the square, which orders a batch
    alike. With gradients per batch it is averaged over them, as in the paper; the mean gradient counts
    as one large batch. Buffers have no gradient and count as constant. `PlanError` without gradients.
    """
    if context.gradients is None:
        raise PlanError("The criterion 'taylor' needs gradients.", cure="Give `data`: batches of (inputs, targets).")
    members = [m for m in group.members if m.role in SILENCED and m.tensor in context.gradients]
    if not members:
        raise PlanError(
            f"There is no gradient for any weight of {group.name}.",
            cure="Compute them on the network that is pruned, or choose a criterion that needs none.",
        )
    changes = [_changes(m, context.tensors[m.tensor], context.gradients[m.tensor]) for m in members]
    return np.abs(np.sum(changes, axis=0)).mean(0)


def random_order(group: Group, context: Context) -> np.ndarray:
    """Uniform random scores from (seed, group name): the control that every criterion has to beat."""
    salt = int(digest_bytes(group.name.encode())[:8], 16)
    return np.random.default_rng([context.seed, salt]).random(group.width)


CriterionLike = str | Callable[[Group, Context], np.ndarray]
"""A name in `CRITERIA`, or a function that gives the scores (width,) of a group's units."""


def score(criterion: CriterionLike, group: Group, context: Context) -> np.ndarray:
    """Scores (width,) float64 of a group's units by a criterion; the lowest leave first.

    Raises `ConfigError` for an unknown name, `PlanError` when scores are not finite or gradients are missing.
    """
    function = criterion if callable(criterion) else _row(criterion).load()
    scores = np.asarray(function(group, context), float)
    if scores.shape != (group.width,):
        got = f"'{name_of(criterion)}' gives scores of shape {scores.shape} for {group.name}"
        raise PlanError(f"{got}; ({group.width},) is needed.")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        said = f"'{name_of(criterion)}' gives {bad} of {group.width} channels of {group.name}"
        raise PlanError(
            f"{said} a score that is not a number.",
            cure="The weights or gradients hold NaN or infinity: start from a checkpoint that trained to the end.",
        )
    return scores


def name_of(criterion: CriterionLike) -> str:
    """What plans call it."""
    return getattr(criterion, "__name__", type(criterion).__name__) if callable(criterion) else criterion


def needs_gradients(criterion: CriterionLike) -> bool:
    """Whether `Context.gradients` must be there; `ConfigError` for an unknown name.

    A function says so by an attribute `needs_gradients`.
    """
    row = criterion if callable(criterion) else _row(criterion)
    return bool(getattr(row, "needs_gradients", False))


def describe(criterion: CriterionLike, group: Group) -> str:
    """What really scores this group: the criterion's name, or what stands in for it and why."""
    if callable(criterion):
        return name_of(criterion)
    if _row(criterion).load() is bn_scale and not _norms(group):
        return "l1 (no norm with a scale)"
    return criterion


def _row(criterion: str) -> Criterion:
    return pick("pruning.method", CRITERIA, criterion)


def comparable(scores: np.ndarray) -> np.ndarray:
    """Scores over their mean, so that groups and tensors of any size can be ranked together; zeros stay zeros."""
    return scores / max(scores.mean(), np.finfo(float).tiny)


def slice_norms(tensor: torch.Tensor, dim: int, *, order: int = 1) -> np.ndarray:
    """L1 (or L2) norm of every slice of `tensor` along `dim`, (size of dim,) float64."""
    return torch.linalg.vector_norm(_slices(tensor, dim), order, dim=1).numpy()


def _coupled(group: Group, context: Context, *, order: int) -> np.ndarray:
    scores = np.zeros(group.width)
    for member in group.members:
        if member.role in ("filter", "consumer"):
            norms = slice_norms(context.tensors[member.tensor], member.dim, order=order)[member.index]
            scores += comparable(np.linalg.norm(norms, order, axis=1))
    return scores


@dataclass(frozen=True, eq=False)
class _Norm:
    """A normalisation layer: its gamma, its running variance, the filter that ran last before it."""

    scale: Member | None
    variance: Member | None
    filter: Member


def _norms(group: Group) -> list[_Norm]:
    """Every norm that has a gamma or running statistics, in order of execution."""
    variances = {_owner(m): m for m in group.members if m.role == "statistic" and m.tensor.endswith("running_var")}
    scaled = {_owner(m) for m in group.members if m.role == "scale"}
    found, latest = [], group.members[0]
    for member in group.members:
        if member.role == "filter":
            latest = member
        elif member.role == "scale":
            found.append(_Norm(member, variances.get(_owner(member)), latest))
        elif member in variances.values() and _owner(member) not in scaled:
            found.append(_Norm(None, member, latest))
    return found


def _owner(member: Member) -> str:
    return member.tensor.rpartition(".")[0]


def _passed(norm: _Norm, context: Context) -> np.ndarray:
    """(width,) |gamma|, times the filter over its deviation where the running statistics say which."""
    if norm.variance is None:
        return _sizes(norm.scale, context).sum(1)
    gain = 1 / np.sqrt(_sizes(norm.variance, context) + EPSILON)
    if norm.scale is not None:
        gain *= _sizes(norm.scale, context)
    filters = _sizes(norm.filter, context)
    if gain.shape != filters.shape:  # a reshape between them: only the unit as a whole can be matched
        gain, filters = gain.mean(1, keepdims=True), filters.sum(1, keepdims=True)
    return (gain * filters).sum(1)


def _sizes(member: Member | None, context: Context) -> np.ndarray:
    """(units, entries per unit) L1 norms of a member's slices."""
    assert member is not None
    return slice_norms(context.tensors[member.tensor], member.dim)[member.index]


def _rows(member: Member, context: Context) -> torch.Tensor:
    """(units, values of a unit) float64 over the mean norm of the rows."""
    rows = _slices(context.tensors[member.tensor], member.dim)[torch.from_numpy(member.index)].flatten(1)
    mean = rows.norm(dim=1).mean()
    return rows / mean.clamp_min(torch.finfo(rows.dtype).tiny)


def _changes(member: Member, weight: torch.Tensor, gradient: torch.Tensor) -> np.ndarray:
    """(batches, units) sums of gradient * weight."""
    batches = gradient if gradient.ndim > weight.ndim else gradient[None]
    sums = [(_slices(batch, member.dim) * _slices(weight, member.dim)).sum(1) for batch in batches]
    return torch.stack(sums).numpy()[:, member.index].sum(2)


def _slices(tensor: torch.Tensor, dim: int) -> torch.Tensor:
    """(size of dim, all other values) float64 on the CPU."""
    moved = tensor.detach().cpu().double().movedim(dim, 0)
    return moved.reshape(len(moved), -1)
