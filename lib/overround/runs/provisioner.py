"""Jupyter's plug-in point for where kernels come from: fork one, or start it as Jupyter does."""

from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from overround.runs.fork_server import ForkServer

NAME = "overround-forked"


class ForkedProvisioner(LocalProvisioner):
    """Kernels of the fork server that the kernel manager names as `fork_server`."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork; where the fork server is gone, start a process."""
        server: ForkServer | None = getattr(self.parent, "fork_server", None)
        if server is not None:
            try:
                forked: Any = server.fork(
                    self.parent.connection_file, kwargs["env"], kwargs["cwd"], kwargs["stdout"].name
                )
            except OSError:
                pass
            else:
                self.process, self.cwd = forked, kwargs["cwd"]
                self.pid = self.pgid = forked.pid
                return self.connection_info
        return await super().launch_kernel(cmd, **kwargs)
