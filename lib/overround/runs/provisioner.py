"""Jupyter's plug-in point for where kernels come from: fork one from the warm process, or start it as Jupyter does."""

from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from overround.runs.fork_server import Warm

NAME = "overround-forked"


class ForkedProvisioner(LocalProvisioner):
    """Kernels of the warm process that the kernel manager names as `warm`."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork; where the warm process is gone, start a process."""
        warm: Warm | None = getattr(self.parent, "warm", None)
        if warm is not None:
            try:
                forked: Any = warm.fork(
                    self.parent.connection_file, kwargs["env"], kwargs["cwd"], kwargs["stdout"].fileno()
                )
            except OSError:
                pass
            else:
                self.process, self.cwd = forked, kwargs["cwd"]
                self.pid = self.pgid = forked.pid
                return self.connection_info
        return await super().launch_kernel(cmd, **kwargs)
