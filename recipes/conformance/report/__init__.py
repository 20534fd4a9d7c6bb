"""The report of a run: page, summary, JSON, JUnit. Imports conformance/results."""
