"""What cells may hold, and columns of them: from texts, Python values and columns of Arrow, and back to text."""
