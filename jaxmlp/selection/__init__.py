"""Choosing among networks, and an honest word on how good the chosen one is.

`crossvalidation.py` is the whole; it trains by `members.py`, on the rows of `folds.py`, standardised as in
`standard.py` by `prepared.py`, and judges by `scores.py`. `importance.py` asks which columns matter.
"""

from jaxmlp.selection.crossvalidation import Candidate as Candidate
from jaxmlp.selection.crossvalidation import CrossValidation as CrossValidation
from jaxmlp.selection.crossvalidation import cross_validate as cross_validate
from jaxmlp.selection.importance import Importance as Importance
from jaxmlp.selection.importance import permutation_importance as permutation_importance
