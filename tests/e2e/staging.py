# SPDX-License-Identifier: Apache-2.0
"""What the hosted tests share: they run as user nobody, who may not be able to read the source tree
(it may lie under /root), so what they need is copied into a folder of theirs first."""
import os
import pathlib
import shutil

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("SIPFABRIC_BUILD", SOURCE / "build"))
NOBODY = 65534


TRUST = ("--trust", "build/sips/dev.pub")  # below the staged root: the images of this build


def ordinary_user():
    """Arguments for subprocess: nobody when we are root, else who we are."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def stage(root):
    """Copies programs, images and the demo under root, as they lie in source and build tree."""
    for name in ("orchestrator/fabricctl", "orchestrator/fabricd", "node_kernel/kernel/sipnode"):
        target = root / "build" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUILD / name, target)
    shutil.copytree(BUILD / "sips", root / "build/sips", ignore=shutil.ignore_patterns("*.p", "*.key"))
    shutil.copytree(HERE, root / "tests/e2e", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "sips/web").mkdir(parents=True)
    shutil.copy(SOURCE / "sips/web/graph.yaml", root / "sips/web")
    os.chmod(root, 0o755)
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)
