"""`fairlead export service`: what starts the service at boot, keeps it alive, and stands before it with TLS.

One folder with a systemd unit, a Supervisor program (take one of the two), an nginx site whose limits are the service's own, the
static files that nginx serves by itself, and a README that says where each goes.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

from fairlead.errors import InvalidInput
from fairlead.exporters import nginx, supervisor, systemd
from fairlead.exporters.exporter import write_files
from fairlead.exporters.serviceoptions import ServiceOptions
from fairlead.refs import check_name

__all__ = ["EXPORTER", "ServiceExporter"]


class ServiceExporter:
    """The exporter `service` (an `exporter.Exporter`)."""

    summary = "What starts the service and what stands before it: systemd, Supervisor, nginx."
    options: type[msgspec.Struct] = ServiceOptions

    def export(self, options: ServiceOptions, to: Path) -> list[Path]:
        """Write the files (see `exporter.Exporter.export`)."""
        _check(options)
        static = to.absolute() / "static"
        files = {
            "README.md": _readme(options).encode(),
            f"{options.name}.service": systemd.unit(options).encode(),
            f"{options.name}.supervisor.conf": supervisor.program(options).encode(),
            f"{options.name}.nginx.conf": nginx.site(options, static).encode(),
            **{f"static/assets/{name}": content for name, content in options.assets.items()},
        }
        return write_files(to, files)


EXPORTER = ServiceExporter()


def _check(options: ServiceOptions) -> None:
    check_name(options.name)
    if bool(options.tls_cert) != bool(options.tls_key):
        raise InvalidInput("A certificate and its key go together.", hint="Give both --tls-cert and --tls-key.")
    if options.port == 0:
        raise InvalidInput("The port 0 is another one at every start.", hint="Set `port`, or give FAIRLEAD_PORT.")
    for path in (options.certificate, options.key, *options.command[:1], str(options.home), str(options.folder)):
        if not path.startswith("/"):
            raise InvalidInput(f"{path!r} is not an absolute path.", hint="It is read by another program, elsewhere.")


def _readme(options: ServiceOptions) -> str:
    name, user = options.name, options.user
    home = shlex.quote(str(options.home))
    return f"""# {name}: files for a server

Made by `fairlead export service`. Make them again after a change of the settings or an upgrade of Fairlead.

## 1. The user

    sudo useradd --system --user-group --home-dir {home} {user}
    sudo chown --recursive {user}:{user} {home}

## 2. What keeps the service alive: one of the two

systemd, which is what a server has:

    sudo cp {name}.service /etc/systemd/system/
    sudo systemctl daemon-reload
    sudo systemctl enable --now {name}

Supervisor:

    sudo cp {name}.supervisor.conf /etc/supervisor/conf.d/
    sudo supervisorctl update

## 3. What stands before it

nginx needs the certificate {options.certificate} and its key, and must be able to read this folder's `static`.

    sudo cp {name}.nginx.conf /etc/nginx/conf.d/
    sudo nginx -t && sudo systemctl reload nginx
    curl https://{options.public_host}/readyz

The service listens on {options.host}:{options.port}{_and_grpc(options)} and is reached through nginx only. nginx refuses every other name than
{options.public_host} and gives this one to the service.
"""


def _and_grpc(options: ServiceOptions) -> str:
    return "" if options.grpc_port is None else f", gRPC on {options.grpc_port},"
