"""Uninterruptible power supplies: UPS-MIB (RFC 1628) and APC's PowerNet-MIB."""

from __future__ import annotations

from domain.reading import Fact, Measure
from probes.base import Produces
from probes.snmp.profiles.base import Found, Profile, Seen, group, measure, number, percent, status, table

_UPS = "1.3.6.1.2.1.33.1"
_APC = "1.3.6.1.4.1.318.1.1.1"

GROUPS = (
    group(
        _UPS,
        table("upsInputTable", f"{_UPS}.3.3.1", frequency=2, voltage=3, current=4, power=5),
        table("upsOutputTable", f"{_UPS}.4.4.1", voltage=2, current=3, power=4, load=5),
        upsIdentManufacturer=f"{_UPS}.1.1.0",
        upsIdentModel=f"{_UPS}.1.2.0",
        upsBatteryStatus=f"{_UPS}.2.1.0",
        upsSecondsOnBattery=f"{_UPS}.2.2.0",
        upsEstimatedMinutesRemaining=f"{_UPS}.2.3.0",
        upsEstimatedChargeRemaining=f"{_UPS}.2.4.0",
        upsBatteryVoltage=f"{_UPS}.2.5.0",
        upsBatteryCurrent=f"{_UPS}.2.6.0",
        upsBatteryTemperature=f"{_UPS}.2.7.0",
        upsOutputSource=f"{_UPS}.4.1.0",
        upsOutputFrequency=f"{_UPS}.4.2.0",
    ),
    group(
        _APC,
        upsBasicIdentModel=f"{_APC}.1.1.1.0",
        upsBasicBatteryStatus=f"{_APC}.2.1.1.0",
        upsBasicBatteryTimeOnBattery=f"{_APC}.2.1.2.0",
        upsAdvBatteryCapacity=f"{_APC}.2.2.1.0",
        upsAdvBatteryTemperature=f"{_APC}.2.2.2.0",
        upsAdvBatteryRunTimeRemaining=f"{_APC}.2.2.3.0",
        upsAdvBatteryReplaceIndicator=f"{_APC}.2.2.4.0",
        upsAdvBatteryActualVoltage=f"{_APC}.2.2.8.0",
        upsHighPrecBatteryCapacity=f"{_APC}.2.3.1.0",
        upsAdvInputLineVoltage=f"{_APC}.3.2.1.0",
        upsAdvInputFrequency=f"{_APC}.3.2.4.0",
        upsBasicOutputStatus=f"{_APC}.4.1.1.0",
        upsAdvOutputVoltage=f"{_APC}.4.2.1.0",
        upsAdvOutputFrequency=f"{_APC}.4.2.2.0",
        upsAdvOutputLoad=f"{_APC}.4.2.3.0",
        upsAdvOutputCurrent=f"{_APC}.4.2.4.0",
        upsHighPrecOutputLoad=f"{_APC}.4.3.3.0",
        upsHighPrecOutputCurrent=f"{_APC}.4.3.4.0",
    ),
)
PRODUCES = (
    Produces("hw.battery.charge", "1", "Battery charge"),
    Produces("hw.battery.time_left", "s", "Time the battery lasts"),
    Produces("hw.battery.time_on", "s", "Time on battery"),
    Produces("hw.power_supply.utilization", "1", "Power supply load", "line"),
    Produces("hw.power_supply.on_battery", "1", "Running on battery"),
)
_MINUTE = 60
_TICKS = 100
_BATTERY = {1: "unknown", 2: "normal", 3: "low", 4: "depleted"}
_SOURCE = {1: "other", 2: "none", 3: "normal", 4: "bypass", 5: "battery", 6: "booster", 7: "reducer"}
_APC_OUTPUT = {
    1: "unknown", 2: "on line", 3: "on battery", 4: "on smart boost", 5: "timed sleeping", 6: "software bypass",
    7: "off", 8: "rebooting", 9: "switched bypass", 10: "hardware failure bypass",
    11: "sleeping until power returns", 12: "on smart trim",
}  # fmt: skip


def read(seen: Seen) -> Found:
    """The standard objects where the device has them, else APC's own."""
    if seen.number("upsBatteryStatus") is not None or seen.number("upsOutputSource") is not None:
        yield from _standard(seen)
    elif seen.number("upsBasicOutputStatus") is not None or seen.number("upsBasicBatteryStatus") is not None:
        yield from _apc(seen)


def _standard(seen: Seen) -> Found:
    """RFC 1628: volts whole for lines and tenths for the battery, amperes and hertz in tenths."""
    yield from status("battery", seen.number("upsBatteryStatus"), _BATTERY, good=(2,), absent=(1,))
    source = seen.number("upsOutputSource")
    if source is not None:
        yield Fact("hw.power_supply.source", _SOURCE.get(int(source), "unknown"))
        yield Measure("hw.power_supply.on_battery", 1.0 if source == 5 else 0.0)
    minutes = seen.number("upsEstimatedMinutesRemaining")
    yield from measure("hw.battery.time_left", None if minutes is None or minutes < 0 else minutes * _MINUTE, "s")
    yield from measure("hw.battery.time_on", seen.number("upsSecondsOnBattery"), "s")
    yield from measure("hw.battery.charge", percent(seen.number("upsEstimatedChargeRemaining")))
    yield from measure("hw.voltage", _tenth(seen.number("upsBatteryVoltage")), "V", "battery")
    yield from measure("hw.current", _tenth(seen.number("upsBatteryCurrent")), "A", "battery")
    yield from measure("hw.temperature", seen.number("upsBatteryTemperature"), "Cel", "battery")
    yield from measure("hw.frequency", _tenth(seen.number("upsOutputFrequency")), "Hz", "output")
    for which in ("input", "output"):
        rows = seen.rows("upsInputTable" if which == "input" else "upsOutputTable")
        for index, row in rows.items():
            of = f"{which} {'.'.join(map(str, index))}" if len(rows) > 1 else which
            yield from measure("hw.voltage", number(row, "voltage"), "V", of)
            yield from measure("hw.current", _tenth(number(row, "current")), "A", of)
            yield from measure("hw.power", number(row, "power"), "W", of)
            yield from measure("hw.frequency", _tenth(number(row, "frequency")), "Hz", of)
            yield from measure("hw.power_supply.utilization", percent(number(row, "load")), of=of)
    yield from _model(seen, " ".join(filter(None, (seen.text("upsIdentManufacturer"), seen.text("upsIdentModel")))))


def _apc(seen: Seen) -> Found:
    """PowerNet-MIB: times in TimeTicks, the high-precision objects in tenths."""
    yield from status("battery", seen.number("upsBasicBatteryStatus"), _BATTERY, good=(2,), absent=(1,))
    output = seen.number("upsBasicOutputStatus")
    if output is not None:
        yield Fact("hw.power_supply.source", _APC_OUTPUT.get(int(output), "unknown"))
        yield Measure("hw.power_supply.on_battery", 1.0 if output == 3 else 0.0)
    yield from status(
        "battery age", seen.number("upsAdvBatteryReplaceIndicator"), {1: "good", 2: "replace"}, good=(1,)
    )  # fmt: skip
    for key, name in (
        ("upsAdvBatteryRunTimeRemaining", "hw.battery.time_left"),
        ("upsBasicBatteryTimeOnBattery", "hw.battery.time_on"),
    ):
        ticks = seen.number(key)
        yield from measure(name, None if ticks is None else ticks / _TICKS, "s")
    fine, coarse = seen.number("upsHighPrecBatteryCapacity"), seen.number("upsAdvBatteryCapacity")
    yield from measure("hw.battery.charge", percent(_tenth(fine) if fine is not None else coarse))
    yield from measure("hw.temperature", seen.number("upsAdvBatteryTemperature"), "Cel", "battery")
    yield from measure("hw.voltage", seen.number("upsAdvBatteryActualVoltage"), "V", "battery")
    yield from measure("hw.voltage", seen.number("upsAdvInputLineVoltage"), "V", "input")
    yield from measure("hw.frequency", seen.number("upsAdvInputFrequency"), "Hz", "input")
    yield from measure("hw.voltage", seen.number("upsAdvOutputVoltage"), "V", "output")
    yield from measure("hw.frequency", seen.number("upsAdvOutputFrequency"), "Hz", "output")
    fine, coarse = seen.number("upsHighPrecOutputLoad"), seen.number("upsAdvOutputLoad")
    yield from measure(
        "hw.power_supply.utilization", percent(_tenth(fine) if fine is not None else coarse), of="output"
    )
    fine, coarse = seen.number("upsHighPrecOutputCurrent"), seen.number("upsAdvOutputCurrent")
    yield from measure("hw.current", _tenth(fine) if fine is not None else coarse, "A", "output")
    yield from _model(seen, seen.text("upsBasicIdentModel"))


def _model(seen: Seen, said: str) -> Found:
    if said:
        yield Fact("host.model", said)


def _tenth(value: float | None) -> float | None:
    return None if value is None else value / 10


PROFILE = Profile(GROUPS, read, PRODUCES)
