"""Metrics."""

from .accuracy import VideoAccMetric

__all__ = ['VideoAccMetric']
