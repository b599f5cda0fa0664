"""Compares Plica with other engines: bench/compare is the command."""
