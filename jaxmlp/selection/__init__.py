"""The choice among networks, and how good the chosen one is on rows that it was not trained on.

`crossvalidation.py` compares candidates with baselines. It trains them by `search.py` on the rows of `preparation.py`,
solves the linear baseline by `linear.py`, and scores by `scores.py`. `importance.py` measures which columns matter.
"""

from jaxmlp.selection.crossvalidation import CrossValidation as CrossValidation
from jaxmlp.selection.crossvalidation import cross_validate as cross_validate
from jaxmlp.selection.importance import Importance as Importance
from jaxmlp.selection.importance import permutation_importance as permutation_importance
from jaxmlp.selection.scores import Score as Score
