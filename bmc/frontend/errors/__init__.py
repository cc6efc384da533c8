"""A named constructor for each finding of the front end, by what it is about."""
