"""transformers as the reference, and known deviations simulated on it. Imports pocket/model."""
