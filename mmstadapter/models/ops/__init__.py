"""Operators shared by trunks and backbones."""
