"""Open BigModel: the BigModel v4 HTTP API on your own machine, in front of any GLM model."""

__version__ = "0.1.0"
