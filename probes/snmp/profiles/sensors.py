"""Sensors: ENTITY-SENSOR-MIB (RFC 3433), Cisco's CISCO-ENTITY-SENSOR-MIB of the same shape, LM-SENSORS-MIB."""

from __future__ import annotations

from probes.base import Produces
from probes.snmp.profiles.base import Found, Profile, Seen, distinct, group, measure, number, table, text
from probes.snmp.session import Row

_PHYSICAL = "1.3.6.1.2.1.47.1.1.1.1"
_ENTITY = "1.3.6.1.2.1.99.1.1.1"
_CISCO = "1.3.6.1.4.1.9.9.91.1.1.1.1"
_LM = "1.3.6.1.4.1.2021.13.16"

GROUPS = (
    group("1.3.6.1.2.1.99.1.1", table("entPhySensorTable", _ENTITY, {"type": 1, "scale": 2, "precision": 3}, value=4, status=5)),
    group("1.3.6.1.4.1.9.9.91.1.1.1", table("entSensorTable", _CISCO, {"type": 1, "scale": 2, "precision": 3}, value=4, status=5)),
    group(f"{_LM}.2.1", table("lmTempSensorsTable", f"{_LM}.2.1", {"name": 2}, value=3)),
    group(f"{_LM}.3.1", table("lmFanSensorsTable", f"{_LM}.3.1", {"name": 2}, value=3)),
    group(f"{_LM}.4.1", table("lmVoltSensorsTable", f"{_LM}.4.1", {"name": 2}, value=3)),
)  # fmt: skip
NAMES = group("1.3.6.1.2.1.47.1.1.1", table("entPhysicalTable", _PHYSICAL, {"descr": 2, "name": 7}))
"""Read only where a sensor table is: it can be long."""

PRODUCES = (
    Produces("hw.temperature", "Cel", "Temperature", "sensor"),
    Produces("hw.fan.speed", "rpm", "Fan speed", "fan"),
    Produces("hw.voltage", "V", "Voltage", "sensor"),
    Produces("hw.current", "A", "Current", "sensor"),
    Produces("hw.power", "W", "Power", "sensor"),
    Produces("hw.frequency", "Hz", "Frequency", "sensor"),
    Produces("hw.relative_humidity", "1", "Relative humidity", "sensor"),
    Produces("hw.signal_strength", "dBm", "Optical power", "port"),
    Produces("hw.status", "1", "Working", "part"),
)
# EntitySensorDataType and Cisco's SensorDataType, which goes on to 14
_KINDS = {
    3: ("hw.voltage", "V", 1.0),
    4: ("hw.voltage", "V", 1.0),
    5: ("hw.current", "A", 1.0),
    6: ("hw.power", "W", 1.0),
    7: ("hw.frequency", "Hz", 1.0),
    8: ("hw.temperature", "Cel", 1.0),
    9: ("hw.relative_humidity", "1", 0.01),
    10: ("hw.fan.speed", "rpm", 1.0),
    14: ("hw.signal_strength", "dBm", 1.0),
}
_OK = 1
_LARGEST = 1_000_000_000  # what the MIB sets for "above the scale", with its negative for below


def read(seen: Seen) -> Found:
    """Every sensor that works, in whole units."""
    physical = seen.rows("entPhysicalTable")
    for key in ("entPhySensorTable", "entSensorTable"):
        rows = seen.rows(key)
        names = {
            index: text(physical.get(index, {}), "name") or text(physical.get(index, {}), "descr") for index in rows
        }
        for index, name in distinct(names, "sensor").items():
            yield from _entity(rows[index], name)
    # Milli-units but for fans (LM-SENSORS-MIB: lmTempSensorsValue in mC, lmVoltSensorsValue in mV).
    for key, what, unit, factor in (
        ("lmTempSensorsTable", "hw.temperature", "Cel", 0.001),
        ("lmFanSensorsTable", "hw.fan.speed", "rpm", 1.0),
        ("lmVoltSensorsTable", "hw.voltage", "V", 0.001),
    ):
        rows = seen.rows(key)
        for index, name in distinct({i: text(row, "name") for i, row in rows.items()}, "sensor").items():
            value = number(rows[index], "value")
            if value is not None and value > 2**31:  # a negative number in an unsigned type
                value -= 2**32
            yield from measure(what, None if value is None else value * factor, unit, name)


def _entity(row: Row, name: str) -> Found:
    """value x 10^(3 (scale - 9)) / 10^precision, scale 9 being "units" (RFC 3433, EntitySensorDataScale)."""
    kind = _KINDS.get(int(number(row, "type") or 0))
    value, scale, precision = number(row, "value"), number(row, "scale"), number(row, "precision")
    if kind is None or value is None or number(row, "status") != _OK or abs(value) >= _LARGEST:
        return
    if scale is None or not 1 <= scale <= 17 or precision is None or not -8 <= precision <= 9:
        return
    what, unit, factor = kind
    exponent = 3 * (int(scale) - 9) - int(precision)
    scaled = value * 10**exponent if exponent >= 0 else value / 10**-exponent
    yield from measure(what, scaled * factor, unit, name)


PROFILE = Profile(GROUPS, read, PRODUCES)
