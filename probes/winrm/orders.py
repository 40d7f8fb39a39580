"""What is done to a Windows machine: methods of its own classes, what their numbers mean, and the text for its account.

Win32ShutdownTracker of Win32_OperatingSystem, StopService and StartService of Win32_Service (learn.microsoft.com, WMI
providers). What a person typed stands in them as data alone: the value of a selector, of a parameter, or a literal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from domain.orders import SERVICE

DELAY = 30
"""Seconds in which whoever sits at the machine can call the restart off (`shutdown /a`)."""
PLANNED = 0x80000000
"""SHTDN_REASON_FLAG_PLANNED: other reason, planned."""
REBOOT = 2
"""Flags of Win32Shutdown: a restart for which programs are asked to end. 6 would end them without asking."""
LOGIN = re.compile(r"[A-Za-z0-9_.-]{1,64}(?:[\\@][A-Za-z0-9_.-]{1,64})?", re.ASCII)
"""An account that may stand in the text for the machine."""
LATE = 7
"""SERVICE_REQUEST_TIMEOUT: what becomes of the service is seen afterwards."""
RUNS_ALREADY = 10

_OF_SERVICE = {
    1: "this service does not take this order",
    2: "the account may not do this to this service: give the machine the text of its page “Actions”",
    3: "other services that run need this one; stop them first",
    4: "the service does not know this order",
    5: "the service cannot take an order now: it is in the middle of starting, stopping or something else",
    6: "the service does not run",
    8: "it is not known why",
    9: "its program was not found",
    RUNS_ALREADY: "the service runs already",
    11: "the list of services is locked",
    12: "a service this one needs is gone",
    13: "a service this one needs did not start",
    14: "the service is disabled",
    15: "the service cannot log in: its own account or password is wrong",
    16: "the service is about to be deleted",
    17: "it has nothing to run",
    18: "services need each other in a circle",
    22: "its account is none",
    24: "the service is paused",
}
"""ReturnValue of StartService and StopService."""
_OF_RESTART = {
    5: "the account may not: give the machine the text of its page “Actions”",
    21: "the machine is not ready",
    1115: "the machine is going down already",
    1190: "a restart of the machine is waiting already",
    1191: "people are logged on, and the machine does not restart over their heads",
    1271: "the machine is locked, and does not restart without being forced",
    1314: "the account lacks the right to shut the machine down, or to do so from afar: give the machine the text of its "
    "page “Actions”",
}
"""ReturnValue of Win32ShutdownTracker: system error codes."""


def refusal(kind: str, number: int) -> str:
    """Why an order did not come about, as a sentence with the number."""
    known = _OF_RESTART if kind == "host.restart" else _OF_SERVICE
    return f"The machine did not do it ({number}): {known.get(number, 'it gave no other reason')}."


def rights(user: str, services: Iterable[str], guests: bool = False) -> str:
    """PowerShell that gives `user` what actions need: WMI from afar, the restart of the machine, each of the services, and
    with `guests` those of Hyper-V.

    Raises ValueError for what may not stand in it.
    """
    names = sorted(services)
    if not LOGIN.fullmatch(user) or not all(SERVICE.fullmatch(name) for name in names):
        raise ValueError("a name that may not stand in a text for the machine")
    listed = ", ".join(f"'{name}'" for name in names)
    each = _SERVICES.replace("@NAMES@", listed) if names else ""
    return (_RIGHTS + (_GUESTS if guests else "")).replace("@USER@", user) + each


_RIGHTS = r"""# In an elevated PowerShell on the machine. The account is there already; it is in no group of administrators.
$sid = ([Security.Principal.NTAccount]'@USER@').Translate([Security.Principal.SecurityIdentifier]).Value

# To come in: Remote Management Users, and WMI from afar (enable, execute methods, remote enable, read security).
Add-LocalGroupMember -SID S-1-5-32-580 -Member '@USER@' -ErrorAction SilentlyContinue
$security = Get-WmiObject -Namespace root/cimv2 -Class __SystemSecurity
$descriptor = $security.GetSecurityDescriptor().Descriptor
$trustee = ([wmiclass]'Win32_Trustee').CreateInstance(); $trustee.SidString = $sid
$ace = ([wmiclass]'Win32_Ace').CreateInstance()
$ace.AccessMask = 0x20023; $ace.AceFlags = 2; $ace.AceType = 0; $ace.Trustee = $trustee
$descriptor.DACL += $ace.PSObject.ImmediateBaseObject
$security.SetSecurityDescriptor($descriptor.PSObject.ImmediateBaseObject) | Out-Null

# "Shut down the system" and "Force shutdown from a remote system". A group policy that sets them must name it, too.
$file = Join-Path $env:TEMP 'pantau-rights.inf'
secedit.exe /export /areas USER_RIGHTS /cfg $file | Out-Null
$lines = foreach ($line in Get-Content $file) {
    if ($line -match '^Se(Remote)?ShutdownPrivilege = ' -and $line -notmatch [regex]::Escape($sid)) { "$line,*$sid" } else { $line }
}
Set-Content $file $lines -Encoding Unicode
secedit.exe /configure /db (Join-Path $env:TEMP 'pantau-rights.sdb') /cfg $file /areas USER_RIGHTS | Out-Null
"""
_GUESTS = r"""
# Guests: Hyper-V Administrators. There is no group that may do less.
Add-LocalGroupMember -SID S-1-5-32-578 -Member '@USER@'
"""
_SERVICES = r"""
# Exactly these services: see, start and stop them (the list itself: see only).
foreach ($name in 'scmanager', @NAMES@) {
    $allowed = if ($name -eq 'scmanager') { 'CCLCRPRC' } else { 'CCLCSWRPWPLORC' }
    $old = (sc.exe sdshow $name | Out-String).Trim()
    if ($old -notmatch [regex]::Escape(";$allowed;;;$sid")) {
        sc.exe sdset $name ($old -replace '^D:([A-Z]*)', ('D:$1(A;;' + $allowed + ';;;' + $sid + ')'))
    }
}
"""
