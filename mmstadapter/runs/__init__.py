"""Runs that survive: checkpoints read as data, resumed strictly, and written whole.

MMEngine's runner and checkpoint hook are repaired in memory (`mends`), so that every way to start
a run has it: our commands, mim, and a `Runner` of one's own.
"""
