"""What every model is asked: enough of each kind, under every way to run a server."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from recipes.evalset.image_sizes import CELL_PX, grid_of
from recipes.evalset.prompts import digest
from recipes.pocket.fidelity.random_prompts import PromptTrial, trials
from recipes.pocket.fidelity.servers import SERVERS, number_of

if TYPE_CHECKING:
    from recipes.pocket.model.preprocess import Writer

ALL = trials()


def of(kind: str) -> list[PromptTrial]:
    return [trial for trial in ALL if trial.kind == kind]


def cells(trial: PromptTrial) -> list[int]:
    return [grid_of(scene.height, scene.width).cells for scene in trial.prompt.scenes]


def test_there_are_more_than_a_hundred_and_no_two_are_one() -> None:
    assert len(ALL) >= 100
    assert len({trial.prompt.name for trial in ALL}) == len(ALL)
    assert len({digest([trial.prompt]) for trial in ALL}) == len(ALL)


def test_they_are_the_same_each_time() -> None:
    assert trials() == ALL


def test_each_group_has_enough() -> None:
    groups = Counter(trial.group for trial in ALL)
    assert groups["text"] >= 25
    assert groups["no resize"] >= 50
    assert groups["resize"] >= 25


@pytest.mark.parametrize("server", SERVERS)
def test_every_way_to_run_a_server_meets_images_and_all_but_one_meets_text(server: str) -> None:
    asked = Counter(trial.group for trial in ALL if server in trial.servers)
    assert asked["no resize"] >= 2
    assert (asked["text"] >= 3) is (server != "batch 300")


def test_the_ways_to_run_a_server_reach_from_32_to_2048() -> None:
    sizes = {number_of(server, "-ub") for server in SERVERS}
    assert {32, 64, 100, 512, 2048} <= sizes
    assert any(number_of(server, "-b") < 100 for server in SERVERS)
    assert {number_of(server, "-np") for server in SERVERS} == {1, 2}


def test_kinds_are_what_they_are_called() -> None:
    for trial in ALL:
        scenes = trial.prompt.scenes
        assert bool(scenes or trial.prompt.clips) is not trial.kind.startswith("text"), trial.prompt.name
        assert bool(trial.prompt.clips) is (trial.kind == "clip") is (trial.group == "clips")
        if "resized" in trial.kind:
            assert trial.prompt.is_resized
        if trial.kind == "several images":
            assert 2 <= len(scenes) <= 4
            assert len(trial.prompt.turns) == 1
        if "several turns" in trial.kind:
            assert len(trial.prompt.turns) >= 2
    assert sum(trial.prompt.is_resized for trial in of("several images")) >= 3
    assert max(len(trial.prompt.scenes) for trial in ALL) == 8


def test_there_are_tall_and_wide_ones_with_and_without_resize() -> None:
    for is_resized in (False, True):
        aspects = [
            scene.width / scene.height
            for trial in ALL
            if trial.prompt.is_resized is is_resized
            for scene in trial.prompt.scenes
        ]
        assert min(aspects) < 1 / 2.5
        assert max(aspects) > 2.5


def test_no_side_leaves_half_a_cell_which_is_rounded_in_two_ways() -> None:
    sides = [side for trial in ALL for scene in trial.prompt.scenes for side in (scene.height, scene.width)]
    assert CELL_PX // 2 not in {side % CELL_PX for side in sides}


def test_images_larger_than_a_ubatch_are() -> None:
    large = of("image larger than a ubatch")
    assert len(large) >= 8
    for trial in large:
        for server in trial.servers:
            assert max(cells(trial)) > number_of(server, "-ub"), (trial.prompt.name, server)
    assert any(trial.prompt.is_resized for trial in large)
    assert any("ubatch 512" in trial.servers for trial in large)


def test_long_contexts_take_several_batches(writer: Writer) -> None:
    length = {trial.prompt.name: len(writer.prepare(trial.prompt.turns).ids) for trial in ALL}
    for kind in ("text, several batches", "image in a long context"):
        assert len(of(kind)) >= 5
        for trial in of(kind):
            for server in trial.servers:
                if number_of(server, "-ub") < 512:
                    assert length[trial.prompt.name] > number_of(server, "-ub"), trial.prompt.name
    assert sum(tokens > 512 for tokens in length.values()) >= 4
    assert max(length.values()) < 4000
