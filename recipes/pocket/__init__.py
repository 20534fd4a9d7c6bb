"""The small model: training, export to GGUF, the reference in transformers, and fidelity against it.

Only here torch, transformers and tokenizers are needed (the dependency group `reference`). May import: core,
manifest, store, fetch, registry, patches, build, evalset, models, serve, conformance, evidence, lock, cli.
"""

import sys
from types import ModuleType

# transformers imports torchvision where it is; its wheel is built for CUDA, and does not import beside a torch for the
# CPU, but for this module. Only its resize is used, which is torch's.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
