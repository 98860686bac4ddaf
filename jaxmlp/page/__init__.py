"""The page in the browser that shows how a network learns, and the program that it shares with `jaxmlp explain`."""

from jaxmlp.page.document import build_page as build_page
from jaxmlp.page.program import evaluate as evaluate
from jaxmlp.page.program import list_steps as list_steps
from jaxmlp.page.program import meaning_of as meaning_of
from jaxmlp.page.program import terms_over_rows as terms_over_rows
from jaxmlp.page.recording import record as record
from jaxmlp.page.small import small_example as small_example
