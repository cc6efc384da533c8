"""One module for each command; `bmc.cli.group` says which. Imported when the command runs, not before."""
