"""An installed llama.cpp and one running llama-server. Conformance uses it too; imports no other part of serve."""
