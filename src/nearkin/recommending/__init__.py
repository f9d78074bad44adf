"""Items for users: by their neighbours, by factors, by content, and how good that is."""
