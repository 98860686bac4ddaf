"""scikit-learn's rules of what is progress, which weights are best, and how the learning rate of "sgd" changes.

They run in the compiled program, as `advance` of `jaxmlp.fitting.epochs.run_epochs`.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxmlp.fitting.metrics import AnyArray
from jaxmlp.fitting.optimizers import OptimizerState, OptState
from jaxmlp.fitting.state import FitState, History, finish_epoch
from jaxmlp.network import Params

# "adaptive" divides the learning rate by this, until it is at most `_LOWEST_RATE`.
_DIVISOR = 5
_LOWEST_RATE = 1e-6


# A field of `History`; a metric is highest at best.
Watched = Literal["loss", "validation_loss", "metric"]


class Settings(NamedTuple):
    """Numbers of the rules; other values do not recompile."""

    tolerance: AnyArray
    patience: AnyArray
    learning_rate: AnyArray
    power: AnyArray  # `power_t`
    rows: AnyArray  # Number of rows of an epoch.
    earlier: AnyArray  # Number of rows that earlier calls used.


@dataclass(frozen=True)
class Progress:
    """The rules as a function of the settings and the arguments of `advance`."""

    watched: Watched
    schedule: Literal["constant", "invscaling", "adaptive"]

    def __call__(
        self, settings: Settings, state: FitState, params: Params, opt_state: OptState, measured: History
    ) -> FitState:
        """Return the state after an epoch."""
        value = getattr(measured, self.watched)
        watched = -value if self.watched == "metric" else value
        # Without a tolerance, a value that is as good as the best counts as progress.
        improved = watched <= state.best_loss - settings.tolerance.astype(watched.dtype)
        keeps_best = self.watched != "loss"
        state = finish_epoch(state, params, opt_state, watched, improved, keeps_best=keeps_best)
        return state if self.schedule == "constant" else self._change_rate(settings, state)

    def _change_rate(self, settings: Settings, state: FitState) -> FitState:
        opt_state: OptimizerState = state.opt_state
        rate = opt_state.hyperparameters["learning_rate"]
        if self.schedule == "invscaling":
            used = settings.earlier + settings.rows * state.epoch.astype(rate.dtype)
            following = settings.learning_rate / (used + 1) ** settings.power
        else:
            lowers = (state.waited >= settings.patience) & (rate > _LOWEST_RATE)
            following = jnp.where(lowers, rate / _DIVISOR, rate)
            state = state._replace(waited=jnp.where(lowers, 0, state.waited))
        # scikit-learn's velocity contains the learning rate of its time, ours does not.
        scale = jnp.where(following > 0, rate / following, 0)
        opt_state = opt_state._replace(
            moments=jax.tree.map(lambda moment: scale * moment, opt_state.moments),
            hyperparameters=opt_state.hyperparameters | {"learning_rate": following},
        )
        return state._replace(opt_state=opt_state)
