"""An installed llama.cpp and a running llama-server. Conformance uses it too; imports no other part of serve."""
