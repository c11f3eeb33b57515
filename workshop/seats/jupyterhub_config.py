"""JupyterHub on one machine with several GPUs, for those who run one: a seat is a user of the machine.

    jupyterhub --config workshop/seats/jupyterhub_config.py

It needs `jupyterhub` and `jupyterhub-systemdspawner` where the hub runs, `jupyterhub` in the course's environment, and
the course in COURSE (a clone that root owns, `make setup` done). Each user needs a copy at home, which that user makes;
git copies what another user owns only where it is told to:

    git config --global --add safe.directory /opt/course/.git
    git clone /opt/course ~/course

JupyterHub's own login (PAM) lets in whoever has an account and belongs to the group GROUP. Homes must be closed to
others: `chmod 700`.
"""

import zlib

COURSE = "/opt/course"
GROUP = "course"
GPUS = 8
MEMORY, CPUS = "32G", 8.0

c = get_config()  # noqa: F821, which JupyterHub brings

c.JupyterHub.bind_url = "http://127.0.0.1:8000"  # behind a server that speaks https, or an ssh tunnel
c.JupyterHub.spawner_class = "systemd"
c.PAMAuthenticator.allowed_groups = {GROUP}

c.Spawner.cmd = [f"{COURSE}/.venv/bin/jupyterhub-singleuser"]
c.Spawner.notebook_dir = "~/course/notebooks"
c.Spawner.default_url = "/lab/tree/00_start_here.ipynb"
c.Spawner.environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": f"{COURSE}/weights", "MIOPEN_FIND_MODE": "FAST"}

c.SystemdSpawner.mem_limit = MEMORY
c.SystemdSpawner.cpu_limit = CPUS
c.SystemdSpawner.isolate_tmp = True
c.SystemdSpawner.disable_user_sudo = True
c.SystemdSpawner.readonly_paths = [COURSE]


def give_a_gpu(spawner) -> None:
    """Show a user one GPU, the same each time. More users than GPUs share them."""
    spawner.environment["ROCR_VISIBLE_DEVICES"] = str(zlib.crc32(spawner.user.name.encode()) % GPUS)


c.Spawner.pre_spawn_hook = give_a_gpu
