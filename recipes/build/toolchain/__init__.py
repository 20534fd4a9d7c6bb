"""The pinned toolchain, unpacked and checked: compiler, host tools, the SDK of our own. Imports build/plan."""
