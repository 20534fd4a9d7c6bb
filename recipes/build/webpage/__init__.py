"""The server's web page from pinned npm packages. Imports build/plan, build/sharing and build/toolchain."""
