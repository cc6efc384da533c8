"""What a table holds, and a program to begin with: `bmc data`."""
