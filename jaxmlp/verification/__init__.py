"""Verification of gradients, by methods that share no code with their derivation by hand.

Three oracles check each leaf of the gradient:

* `jax.grad` of `loss`, in the network's own dtype and in float64 on the same values;
* central differences of the loss, in float64: for each entry of a small network, along random directions of a
  larger one;
* the adjoint identity: the hand-derived backward pass is J^T u, `jax.jvp` of the forward pass is J v, and
  <J v, u> = <v, J^T u> for any u and v, in float64.

The first two also check the derivative of each activation and of the criterion, entry by entry, at the pre-activations
that occur: if a gradient is wrong, the report shows whether a derivative is the cause.
"""

from jaxmlp.verification.functions import check_gradients as check_gradients
from jaxmlp.verification.network import check_network as check_network
from jaxmlp.verification.network import grad_every_value as grad_every_value
from jaxmlp.verification.report import BOUNDS as BOUNDS
from jaxmlp.verification.report import CENTRAL_BOUND as CENTRAL_BOUND
from jaxmlp.verification.report import Finding as Finding
from jaxmlp.verification.report import GradientError as GradientError
from jaxmlp.verification.report import GradientReport as GradientReport
