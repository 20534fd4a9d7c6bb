"""Training the model, and releasing its files. Imports pocket/model."""
