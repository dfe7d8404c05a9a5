"""The systemd unit: the service may write its home and nothing else, see nothing of the machine, and gain no rights."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Final

from fairlead.exporters.grammar import systemd_command, systemd_plain, systemd_text
from fairlead.exporters.serviceoptions import ServiceOptions

__all__ = ["unit"]

_STOP_SECONDS: Final = 15
_PRIVILEGED: Final = 1024
_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))

# No MemoryDenyWriteExecute: a model in a code format may bring a compiler of its own (numba, torch).
_HARDENING: Final = """\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=setrlimit prlimit64 sched_setaffinity
SystemCallErrorNumber=EPERM
UMask=0027"""


def unit(options: ServiceOptions) -> str:
    """The unit's file.

    Raises:
        InvalidInput: A value cannot stand in it.
    """
    environment = "".join(
        f"Environment={systemd_text(f'{name}={value}')}\n" for name, value in options.environment.items()
    )
    capability = "CAP_NET_BIND_SERVICE" if options.port < _PRIVILEGED else ""
    return f"""# Made by `fairlead export service`; copy it to /etc/systemd/system/.

[Unit]
Description={systemd_plain(f"Fairlead serves models ({options.name})")}
After=network.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={options.user}
WorkingDirectory={systemd_plain(str(options.folder))}
{environment}ExecStart={systemd_command(options.command)}
Restart=always
RestartSec=1
KillMode=mixed
TimeoutStopSec={ceil(options.drain) + _STOP_SECONDS}
LimitNOFILE=65536

# It may write its home, and nothing else.
ReadWritePaths={systemd_text(str(options.home))}
ProtectHome={_protect_home(options)}
CapabilityBoundingSet={capability}
AmbientCapabilities={capability}
{_HARDENING}

[Install]
WantedBy=multi-user.target
"""


def _protect_home(options: ServiceOptions) -> str:
    """Homes of people are hidden, unless what is needed lies in one."""
    needed = (options.home, options.folder, Path(options.command[0]))
    return "read-only" if any(path.is_relative_to(home) for path in needed for home in _HOMES) else "yes"
