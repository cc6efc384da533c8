"""One reader for each format, part by part."""
