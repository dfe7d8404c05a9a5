"""The Supervisor program: for a machine where Supervisor, not systemd, keeps services alive."""

from __future__ import annotations

from math import ceil
from typing import Final

from fairlead.exporters.grammar import supervisor_command, supervisor_log, supervisor_plain
from fairlead.exporters.serviceoptions import ServiceOptions

__all__ = ["program"]

_STOP_SECONDS: Final = 15


def program(options: ServiceOptions) -> str:
    """The program's file.

    Raises:
        InvalidInput: A value cannot stand in it.
    """
    environment = ",".join(f"{name}={supervisor_command([value])}" for name, value in options.environment.items())
    return f"""; Made by `fairlead export service`; copy it to /etc/supervisor/conf.d/.

[program:{options.name}]
command={supervisor_command(options.command)}
directory={supervisor_plain(str(options.folder))}
user={options.user}
environment={environment}
umask=027
autostart=true
autorestart=true
startsecs=2
startretries=1000000
; SIGTERM to the first process alone: it stops the others in order.
stopsignal=TERM
stopasgroup=false
killasgroup=true
stopwaitsecs={ceil(options.drain) + _STOP_SECONDS}
redirect_stderr=true
stdout_logfile={supervisor_log(str(options.home / "service.log"))}
"""
