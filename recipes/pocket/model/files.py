"""Where the pocket model and what the reference says of it lie in the project."""

from recipes.manifest.load import PROJECT

FOLDER = PROJECT / "tests" / "data" / "pocket"
MODEL = FOLDER / "pocket-qwen3-vl-moe-f16.gguf"
MMPROJ = FOLDER / "mmproj-pocket-qwen3-vl-moe-f16.gguf"
GOLDEN = FOLDER / "golden.json"
VISION = FOLDER / "vision.npz"
