"""One routing decision as arrays, and the answer to it.

An order has G groups (lines that ship together) and O options (a node with a carrier
service). A package is one option with a set of groups; a plan puts every group into
exactly one package. Two packages may use the same option.

The cost of a package with the groups S on option o, in minor units, is::

    fixed[o] + price(tariff[o], sum of weight_g over S) + sum of assign[o, g] over S

and a plan costs the sum over its packages plus ``split_cost`` for each one beyond the
first. Everything is int64, so a plan and its cost are the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type_int = np.dtype(np.int64)
type_bool = np.dtype(np.bool_)

options_max = 1 << 16
"""Options per problem; the kernels keep cost and option in one integer."""
plan_cost_max = 1 << 41
"""No plan may cost more (minor units); leaves the kernels' scaled integers room."""
plan_weight_g_max = 1 << 41
"""No order may weigh more (grams)."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What to decide: G groups, O options, T tariffs of at most K weight steps.

    All arrays are C-contiguous. Weights are grams, money is minor units, none negative.

    Attributes:
        weight_g: int64[G], weight of each group.
        can: bool[O, G], whether the option may ship the group at all.
        assign: int64[O, G], cost of shipping the group by the option; not read where
            ``can`` is false.
        fixed: int64[O], cost of opening a package on the option.
        tariff: int64[O], row of the tariff tables that the option pays by.
        step_g: int64[T, K], inclusive upper weight bounds of the steps, strictly
            ascending, then -1 up to the row's end. No weight is at or below -1, so the
            padding needs no length beside it and is never mistaken for a step. A package
            heavier than the last step is not allowed.
        step_price: int64[T, K], price of each step in any shape, not only ascending;
            not read where ``step_g`` is -1.
        split_cost: cost of each package beyond the first.
        packages_max: how many packages a plan may have, at least 1.
    """

    weight_g: NDArray[np.int64]
    can: NDArray[np.bool_]
    assign: NDArray[np.int64]
    fixed: NDArray[np.int64]
    tariff: NDArray[np.int64]
    step_g: NDArray[np.int64]
    step_price: NDArray[np.int64]
    split_cost: int
    packages_max: int

    def validate(self) -> None:
        """Assert shapes, types, order and magnitudes.

        For whoever builds problems; ``solve`` does not repeat it, because it would cost
        more than a small decision.

        Raises:
            AssertionError: The problem was built wrongly, which is a bug of ours.
        """
        groups, options, tariffs = len(self.weight_g), len(self.fixed), len(self.step_g)
        shapes = {
            "weight_g": (groups,),
            "can": (options, groups),
            "assign": (options, groups),
            "fixed": (options,),
            "tariff": (options,),
            "step_g": (tariffs, self.step_g.shape[-1]),
            "step_price": self.step_g.shape,
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            assert array.shape == shape, f"{name}: shape {array.shape}, not {shape}"
            assert array.dtype == (type_bool if name == "can" else type_int), f"{name}: type"
            assert array.flags.c_contiguous, f"{name}: not C-contiguous"
        assert groups >= 1, "a problem has at least one group"
        assert options < options_max, f"{options} options"
        assert self.packages_max >= 1, "packages_max below 1"
        assert self.split_cost >= 0, "negative split_cost"
        assert (self.weight_g >= 0).all(), "negative weight"
        assert int(self.weight_g.sum()) <= plan_weight_g_max, "order too heavy"
        assert (self.fixed >= 0).all(), "negative fixed cost"
        assert ((self.tariff >= 0) & (self.tariff < tariffs)).all(), "no such tariff"
        step = self.step_g >= 0
        assert (self.step_g[~step] == -1).all(), "step_g is padded with -1"
        ascending = ~step[:, 1:] | (step[:, :-1] & (self.step_g[:, 1:] > self.step_g[:, :-1]))
        assert ascending.all(), "step_g ascends strictly, padding last"
        assert (self.step_price[step] >= 0).all(), "negative price"
        assert (self.assign[self.can] >= 0).all(), "negative assignment cost"
        worst = self.cost_max()
        assert worst <= plan_cost_max, f"a plan could cost {worst}"

    def cost_max(self) -> int:
        """No plan costs more."""
        step = self.step_g >= 0
        package_cost = (
            self.split_cost
            + int(self.fixed.max(initial=0))
            + int(self.step_price[step].max(initial=0))
        )
        assigned = np.where(self.can, self.assign, 0).max(axis=0, initial=0)
        return len(self.weight_g) * package_cost + sum(int(cost) for cost in assigned)


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A plan for a problem.

    Attributes:
        package: int64[G], package of each group; packages are numbered by their first
            group.
        option: int64[P], option of each package.
        cost: Cost of the plan, minor units.
        bound: Proven: no plan costs less. Equal to ``cost`` if the plan is optimal.
        optimal: Whether the plan is proven to be the cheapest.
        method: ``"subset"`` or ``"large"``.
    """

    package: NDArray[np.int64]
    option: NDArray[np.int64]
    cost: int
    bound: int
    optimal: bool
    method: str


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No plan.

    Attributes:
        proved: True: no plan exists. False: none was found within the work budget.
        method: ``"subset"`` or ``"large"``.
    """

    proved: bool
    method: str
