"""What the suite works on and yields: inputs, model, outcomes, numerics. Imports no other part of conformance."""
