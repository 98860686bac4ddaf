"""From a table to a model and its report: `run.py` does it, by the plan of `plan.py`, and tells it by `report.py`."""

from jaxmlp.pipeline.plan import Plan as Plan
from jaxmlp.pipeline.report import describe_report as describe_report
from jaxmlp.pipeline.run import TableResult as TableResult
from jaxmlp.pipeline.run import fit_table as fit_table
