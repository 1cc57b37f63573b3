"""Benchmarks: run by hand (`python -m tests.benchmarks.encode`), never by pytest."""
