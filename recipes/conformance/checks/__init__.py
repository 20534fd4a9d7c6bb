"""The checks, one module each. Import conformance/results."""
