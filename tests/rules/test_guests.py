"""Guests find their nodes: by name, across a cluster, after a move, and never in a circle."""

from __future__ import annotations

from domain.guests import HYPERV, PROXMOX, Links, Told, links

NAMES = {1: "hv1", 2: "pve1.example.org", 3: "pve2", 10: "Files", 11: "web.example.org", 12: "db", 13: "db.other"}


def found(*told: Told, parents: frozenset[tuple[int, int]] = frozenset()) -> Links:
    return links(told, NAMES, parents)


def test_a_guest_is_the_machine_of_its_name() -> None:
    made = found(
        Told(1, HYPERV, "FILES", "running"), Told(1, HYPERV, "web", "off"), Told(1, HYPERV, "unknown", "running")
    )
    assert made.add == {(10, 1), (11, 1)}


def test_a_name_that_two_machines_share_is_nobodys() -> None:
    assert found(Told(1, HYPERV, "db", "running")).add == frozenset()


def test_a_cluster_says_which_node_a_guest_is_on() -> None:
    made = found(
        Told(2, PROXMOX, "101 files", "virtual machine, running, on pve2"),
        Told(2, PROXMOX, "102 web", "container, running, on pve1"),
    )
    assert made.add == {(10, 3), (11, 2)}


def test_a_guest_that_moved_leaves_the_other_nodes_of_its_cluster_and_no_others() -> None:
    made = found(
        Told(2, PROXMOX, "101 files", "virtual machine, running, on pve2"),
        Told(2, PROXMOX, "102 web", "container, running, on pve1"),
        parents=frozenset({(10, 2), (10, 1), (11, 2)}),
    )
    assert made == Links(frozenset({(10, 3)}), frozenset({(10, 2)}))


def test_what_is_above_a_node_never_becomes_its_child() -> None:
    assert found(Told(1, HYPERV, "files", "running"), parents=frozenset({(1, 11), (11, 10)})).add == frozenset()
    assert found(Told(1, HYPERV, "hv1", "running")).add == frozenset()


def test_nothing_changes_twice() -> None:
    told = Told(1, HYPERV, "files", "running")
    assert found(told, parents=frozenset({(10, 1)})) == Links(frozenset(), frozenset())


def test_the_facts_that_name_guests_are_those_the_probes_tell() -> None:
    assert (HYPERV, PROXMOX) == ("hyperv.guest.state", "proxmox.guest")


def test_a_hyperv_guest_may_have_a_number_in_its_name_and_run_on_no_other_node() -> None:
    names = {1: "hv1", 2: "hv2", 10: "101 files", 11: "files"}
    told = [Told(1, HYPERV, "101 files", "running, on hv2")]
    assert links(told, names, frozenset()) == Links(frozenset({(10, 1)}), frozenset())


def test_a_node_nobody_registered_leaves_the_guest_with_the_machine_that_tells() -> None:
    assert found(Told(2, PROXMOX, "101 files", "virtual machine, running, on pve9")).add == {(10, 2)}
    assert found(Told(2, PROXMOX, "101 files", "virtual machine, stopped")).add == {(10, 2)}


def test_a_machine_that_names_itself_or_its_own_node_as_guest_does_not_hide_the_others() -> None:
    told = [
        Told(2, PROXMOX, "100 pve1", "virtual machine, running, on pve2"),
        Told(2, PROXMOX, "101 pve2", "virtual machine, running, on pve1"),
        Told(2, PROXMOX, "102 nobody", "virtual machine, running"),
        Told(2, PROXMOX, "103 files", "virtual machine, running, on pve2"),
    ]
    assert found(*told) == Links(frozenset({(10, 3)}), frozenset())


def test_another_hypervisors_nodes_may_be_guests_here() -> None:
    """A nested Proxmox: its node is a guest of a Hyper-V machine, and stays a node."""
    told = [Told(2, PROXMOX, "101 files", "virtual machine, running"), Told(1, HYPERV, "pve1", "running")]
    assert found(*told).add == {(10, 2), (2, 1)}


def test_a_circle_is_seen_through_every_one_of_several_parents_and_through_an_old_circle() -> None:
    up = frozenset({(1, 12), (1, 13), (1, 11), (11, 10), (12, 13), (13, 12)})
    assert found(Told(1, HYPERV, "files", "running"), parents=up).add == frozenset()


def test_a_circle_is_seen_behind_each_of_two_parents() -> None:
    up = frozenset({(1, 20), (1, 21), (20, 10), (21, 12)})
    assert found(Told(1, HYPERV, "files", "running"), parents=up).add == frozenset()
    names = {**NAMES, 12: "mail"}
    told = [Told(1, HYPERV, "files", "running"), Told(1, HYPERV, "mail", "running")]
    assert links(told, names, up).add == frozenset()
