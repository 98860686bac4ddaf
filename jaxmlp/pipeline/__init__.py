"""From a table to a model and its report: `run.py` does it, by the plan of `plan.py`.

The report is data (`report.py`), with what to be careful about (`cautions.py`), and text (`sections.py`);
`dependence.py` and `worst.py` measure what else a reader asks for.
"""

from jaxmlp.pipeline.plan import Plan as Plan
from jaxmlp.pipeline.run import TableResult as TableResult
from jaxmlp.pipeline.run import fit_table as fit_table
from jaxmlp.pipeline.sections import describe_report as describe_report
