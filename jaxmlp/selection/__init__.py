"""The choice among networks, and how good the chosen one is on rows that it was not trained on.

`crossvalidation.py` compares candidates with baselines. `rounds.py` trains them, each by `search.py`, on the rows of
`preparation.py`; `linear.py` fits the linear baseline. `ensemble.py` chooses what predicts, `assembly.py` makes groups
of it, and `scores.py` measures it. `importance.py` measures which columns matter, `dependence.py` how predictions
move with them; `inspection.py` draws the rows for both. `adjustment.py` estimates the error of the mean of all folds,
and `trees.py` measures boosted trees.
"""

from jaxmlp.selection.adjustment import adjusted_score as adjusted_score
from jaxmlp.selection.crossvalidation import CrossValidation as CrossValidation
from jaxmlp.selection.crossvalidation import cross_validate as cross_validate
from jaxmlp.selection.dependence import Dependence as Dependence
from jaxmlp.selection.dependence import partial_dependence as partial_dependence
from jaxmlp.selection.importance import Importance as Importance
from jaxmlp.selection.importance import permutation_importance as permutation_importance
from jaxmlp.selection.scores import Score as Score
