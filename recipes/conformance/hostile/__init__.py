"""What a hostile client, image or model file can do to a llama-server: the attacks, made by code, and their judge."""
