"""What a shared registry costs at scale: arithmetic over stated assumptions and the sizes of real bundles."""
