"""The server's web page from pinned npm packages. Imports build/plan and build/toolchain."""
