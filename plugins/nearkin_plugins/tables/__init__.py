"""Tables as vectors: the columns of records, what is learned of each, and the embedder of them all."""
