"""Lists of public data sets, and the data of the demonstration: what `mmstadapter prepare` runs.

A module a data set, with a function ``prepare`` that takes the options of the command line.
"""
