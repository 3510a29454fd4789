"""The command line: one file a noun. Arguments in, calls into the rooms, words and exit codes out.

No rule of metering or money stands here. Modules import what starts slowly (polars, psycopg, faust,
typst) inside the commands that need it, so that `--help` answers at once.
"""
