"""Conversations as training, the suite and the held-out questions have them, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from recipes.evalset.image_sizes import SIZE_CLASSES
from recipes.evalset.tasks import SPLITS, TASKS, Conversation, held_out_conversation, training_conversation

INDICES = st.integers(0, 10**7)
TRAINED = st.builds(training_conversation, INDICES, st.integers(0, len(SIZE_CLASSES) - 1))
ASKED = st.builds(held_out_conversation, INDICES, st.sampled_from(TASKS), st.sampled_from(SPLITS[1:]))
ANY: st.SearchStrategy[Conversation] = TRAINED | ASKED
