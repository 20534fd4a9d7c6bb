"""What the suite works on and yields: context, model, outcomes, numerics. Imports no other part of conformance."""
