"""The commands of ``mmstadapter``, a module each with ``main(argv=None)``.

``mmstadapter_cli.py`` lists them. Each parses its arguments before it imports anything heavy,
so that ``--help`` and mistyped options are answered at once.
"""
