"""The demonstration and the benchmark on moving digits."""
