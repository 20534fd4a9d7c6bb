"""What every room needs: errors, digests, processes, the sandbox, files, file locks, console, settings.

Knows nothing of llama.cpp. Imports nothing else of this package.
"""
