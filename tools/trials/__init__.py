"""Trials at random: damaged videos, killed runs, mutated files and configs."""
