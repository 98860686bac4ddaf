"""Tables: turn a CSV or Parquet file into arrays and predictions into a table, by a recipe that a model stores."""

from jaxmlp.tables.frames import as_frame as as_frame
from jaxmlp.tables.frames import is_table as is_table
from jaxmlp.tables.learning import learn_recipe as learn_recipe
from jaxmlp.tables.messages import TableError as TableError
from jaxmlp.tables.messages import TableWarning as TableWarning
from jaxmlp.tables.reading import load_table as load_table
from jaxmlp.tables.recipe import Recipe as Recipe
