"""One file over one or several connections: pieces, their state on disk, workers. Imports fetch/http."""
