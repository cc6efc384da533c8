"""Runs compiled programs. Needs numpy only; never imports the compiler."""
