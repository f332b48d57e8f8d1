"""The training corpus: every sample is generated, none is taken from elsewhere."""
