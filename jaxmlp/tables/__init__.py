"""Tables: a CSV or Parquet file to arrays and back, by a recipe that is learnt once and stored with a model."""

from jaxmlp.tables.columns import TableError as TableError
from jaxmlp.tables.frames import as_frame as as_frame
from jaxmlp.tables.frames import is_table as is_table
from jaxmlp.tables.learning import learn_recipe as learn_recipe
from jaxmlp.tables.reading import load_table as load_table
from jaxmlp.tables.recipe import Recipe as Recipe
