"""PyTorch definitions of the models that Plica is checked with."""
