"""What Pantau understands of SNMP devices; a device is asked for what it shows to have, whatever its name."""

from __future__ import annotations

from probes.base import Produces
from probes.snmp.profiles import host, interfaces, power, printers, sensors, system, vendors
from probes.snmp.profiles.base import Found, Group, Profile, Seen, Table
from probes.snmp.profiles.system import SYSTEM

PROFILES: tuple[Profile, ...] = (
    system.PROFILE,
    host.PROFILE,
    interfaces.PROFILE,
    sensors.PROFILE,
    power.PROFILE,
    printers.PROFILE,
    vendors.PROFILE,
)
GROUPS: tuple[Group, ...] = tuple(group for profile in PROFILES for group in profile.groups)
NAMED_BY = {
    "entPhySensorTable": sensors.NAMES.tables[0],
    "entSensorTable": sensors.NAMES.tables[0],
}
"""Tables whose rows are named by another table."""


def produces() -> tuple[Produces, ...]:
    """Every measure the profiles can bring, once."""
    return tuple({one.name: one for profile in PROFILES for one in profile.produces}.values())


__all__ = ["GROUPS", "NAMED_BY", "PROFILES", "SYSTEM", "Found", "Group", "Profile", "Seen", "Table", "produces"]
