"""Archives: unpacked with limits, their members checked, packed deterministically."""
