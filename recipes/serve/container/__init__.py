"""Container images of a bundle: bit for bit the same from the same pins, for any engine that reads OCI images."""
