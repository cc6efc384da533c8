"""Where data lies: which files a source has, how they are opened, what tells one state of them from another."""
