"""What llama.cpp's loader reads of a file: derived from its source, and compared with a file's keys."""
