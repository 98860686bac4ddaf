"""A report on a model of a table as one page: text (`sections.py`), figures (`figures.py`), HTML (`document.py`)."""

from jaxmlp.report.document import build_report as build_report
from jaxmlp.report.document import write_report as write_report
