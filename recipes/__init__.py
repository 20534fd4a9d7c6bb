"""pinned-llama: manifests in, bit-identical llama.cpp bundles out."""
