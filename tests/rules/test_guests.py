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
