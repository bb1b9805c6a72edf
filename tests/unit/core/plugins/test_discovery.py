"""Which plugins are installed: found whatever state the other distributions are in."""

from importlib.metadata import distributions

import pytest

from rbee_scheduler import PluginError, Plugins
from rbee_scheduler._plugins import installed_plugins


def test_plugins_are_found_by_entry_point_without_being_imported(site):
    site.add("rbee-scheduler-eager", "raise SystemError('imported')", version="2.1")
    (found,) = site.installed()
    assert found.name == "eager"
    assert found.target == "rbee_scheduler_eager"
    assert found.source == "rbee-scheduler-eager 2.1"


def test_the_order_is_by_name_and_not_by_place_on_disk(site):
    for name in "mazk":
        site.add(f"rbee-scheduler-{name}")
    assert [plugin.name for plugin in site.installed()] == ["a", "k", "m", "z"]


def test_entry_points_of_other_groups_are_none_of_ours(site):
    site.add("someone-elses", entry_points="[console_scripts]\nx = someone_elses:main\n")
    assert site.installed() == []


def test_a_distribution_that_is_seen_twice_counts_once(site):
    site.add("rbee-scheduler-twice")
    path = [str(site.folder)]
    assert len(installed_plugins([*distributions(path=path), *distributions(path=path)])) == 1


def test_an_unreadable_list_of_entry_points_is_a_row_that_names_its_distribution(site):
    site.add("rbee-scheduler-bad", entry_points="[rbee_scheduler]\nno equals sign\n", version="9.9")
    site.add("rbee-scheduler-good")
    bad, good = site.plugins().rows
    assert (bad.name, bad.status, bad.source) == ("bad", "failed", "rbee-scheduler-bad 9.9")
    assert "entry_points.txt can't be read" in bad.error
    assert good.status == "active"


def test_an_unreadable_list_of_some_other_project_is_ignored(site):
    site.add("broken", entry_points="[console_scripts]\nno equals sign\n")
    site.add("rbee-scheduler-good")
    assert [plugin.name for plugin in site.installed()] == ["good"]


def test_a_list_that_is_no_text_is_ignored(site):
    site.add("broken")
    (site.folder / "broken-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff[rbee_scheduler]")
    assert site.installed() == []


@pytest.mark.parametrize("metadata", [None, "", "Summary: no name\n"])
def test_without_metadata_the_folder_names_the_distribution(site, metadata):
    site.add("rbee-scheduler-bare", version="3.0")
    file = site.folder / "rbee_scheduler_bare-3.0.dist-info" / "METADATA"
    if metadata is None:
        file.unlink()
    else:
        file.write_text(metadata)
    (found,) = site.installed()
    assert found.source == "rbee_scheduler_bare 3.0"


def test_the_shipped_simple_plugin_is_found():
    (row,) = [row for row in Plugins(["simple"], environ={}).rows if row.status == "active"]
    assert row.distribution == "rbee-scheduler-simple"
    assert row.strategies == ("simple",)


def test_plugin_objects_need_no_look_at_the_disk(monkeypatch):
    monkeypatch.setattr("rbee_scheduler._plugins._manager.installed_plugins", pytest.fail)
    Plugins([])


def test_a_missing_module_names_distribution_and_version(site):
    module = site.add("rbee-scheduler-gone", version="4.5")
    (site.folder / f"{module}.py").unlink()
    with pytest.raises(PluginError) as caught:
        site.plugins(strict=True)
    assert str(caught.value) == (
        "plugin 'gone' (rbee-scheduler-gone 4.5): its import failed: ModuleNotFoundError: "
        "No module named 'rbee_scheduler_gone' (try: python -c 'import rbee_scheduler_gone')"
    )
