"""The page and the picture made of a run's results; they hold nothing that was not measured."""

from bench.report.chart import chart
from bench.report.page import page
from bench.report.view import ViewFigures, read_view

__all__ = ["ViewFigures", "chart", "page", "read_view"]
