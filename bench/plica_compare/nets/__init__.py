"""Nets that neither torchvision nor models/nets define."""
