"""A recorded job is composed again with overrides as people type them, and with nothing that runs code."""

from pathlib import Path
from typing import Any

import pytest
from sweep_folders import composed

from runner.config.replay import recompose
from runner.errors import ConfigError
from runner.settings import JobSettings, MaskHrefSettings, MaskSettings, OwnMask


def again(tmp_path: Path, *words: str, **stored: Any) -> JobSettings:
    return recompose({**composed(), **stored}, tmp_path / "config.yaml", words, tmp_path, scenes_found=True).job


def test_a_cluster_for_all_stages_is_each_ones(tmp_path: Path) -> None:
    stages = again(tmp_path, "cluster=processes", "cluster.n_workers=2", "statistics=max").stages.values()
    assert [(one.cluster.kind.value, one.cluster.n_workers, one.statistics) for one in stages] == [
        ("processes", 2, ["max"]), ("processes", 2, ["max"]),
    ]  # fmt: skip


def test_a_mask_is_what_it_was_also_where_an_earlier_version_recorded_it_as_a_word(tmp_path: Path) -> None:
    assert again(tmp_path, mask="both").mask == MaskSettings(OwnMask.both)
    assert again(tmp_path, "mask=none", mask="both").mask == MaskSettings(OwnMask.none)
    kept = {"own": "none", "href": {"replace": ["_B4", "_QA"]}, "bits": [3]}
    assert again(tmp_path, "mask.bits=[4]", mask=kept).mask == MaskSettings(
        OwnMask.none, MaskHrefSettings(["_B4", "_QA"]), bits=[4]
    )


def test_a_text_needs_no_quotes(tmp_path: Path) -> None:
    assert again(tmp_path, "source.units=a=b, c").source.units == "a=b, c"


@pytest.mark.parametrize(
    ("words", "stored", "message"),
    [
        (["+source@hydra.callbacks=demo"], {}, "hydra.callbacks.name: a config names no Python"),
        (["hydra.verbose=true"], {}, "Hydra's own settings are not a run's"),
        ([], {"hydra": {"callbacks": {}}}, "hydra: there is no such setting; the recorded config was altered"),
        (
            [],
            {"source": {"_target_": "os.makedirs"}},
            "source._target_: a config holds values only and names no Python",
        ),
        (
            [],
            {"stages": {"spatial_mean": {"over": "space", "_target_": "os.makedirs"}}},
            "stages.spatial_mean._target_: a config holds values only and names no Python; the recorded config was",
        ),
        (
            [],
            {"stages": {"spatial_mean": {"over": "space", "cluster": {"_partial_": True}}}},
            "stages.spatial_mean.cluster._partial_: a config holds values only",
        ),
        ([], {"source": {"typo": 1}}, "the recorded config: source.typo: there is no such setting"),
        (["source.name=${USER}"], {}, "${USER} is not a setting"),
    ],
)
def test_what_would_run_code_or_cannot_be_is_refused(
    tmp_path: Path, words: list[str], stored: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        again(tmp_path, *words, **stored)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_band_beside_recorded_bands_is_refused_and_bands_replace_a_recorded_band(tmp_path: Path) -> None:
    recorded = composed()["source"]
    with pytest.raises(ConfigError, match=r"source.band=2: wanted no value, since source.bands=\[red\] says"):
        again(tmp_path, "source.band=2", source={**recorded, "bands": ["red"]})
    assert again(tmp_path, "source.bands=[red]", source={**recorded, "band": 2}).source.bands == ["red"]
