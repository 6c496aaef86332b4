"""Replicas on Ray Serve: it places them on processors and GPUs, starts them anew when they die, and more of them as pages come.

Pages do not go through Ray: each replica has a port of its own, which the front knows (``front_app``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from dreamx.plaintext import sentence
from dreamx.serve.replica_server import GOODBYE, ReplicaServer, ReplicaSpec, open_replica
from dreamx.serve.wanted_replicas import OpenSessions

APP = "dreamx"
DEPLOYMENT = "WorldReplica"
#: Seconds over which open sessions are averaged, and after which one replica more is asked for.
_LOOK_BACK, _UP = 5.0, 1.0
_HEALTH = 5.0  # seconds between two looks of Ray whether a replica is well


@dataclass(frozen=True)
class RayShare:
    """Replicas on Ray. address: of a cluster; None starts Ray on this machine. least, most: replicas. cpus, gpus: of each.

    spare: places that are kept free. down: seconds for which fewer must be enough until one is stopped.
    """

    address: str | None
    least: int
    most: int
    cpus: float
    gpus: float
    spare: int
    down: float


class WorldReplica:
    """A replica as Ray Serve runs it, which it tells how many sessions are open."""

    def __init__(self, spec: ReplicaSpec, anywhere: bool) -> None:
        ray, serve = _ray()
        name: str = serve.get_replica_context().replica_id.unique_id
        host: str = ray.util.get_node_ip_address() if anywhere else spec.host
        self._server: ReplicaServer | None = None
        self._server = open_replica(replace(spec, host=host), name)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Say how many sessions are open, and how many pages wait at the front."""
        sessions, waiting = (0, 0) if self._server is None else (len(self._server.manager.sessions), self._server.waiting)
        return {"sessions": float(sessions), "waiting": float(waiting)}

    def check_health(self) -> None:
        """RuntimeError where it serves no more."""
        if self._server is not None and not self._server.alive:
            raise RuntimeError("the server of the replica has ended")

    def __del__(self) -> None:
        server = getattr(self, "_server", None)
        if server is not None:
            server.stop()


class RayReplicas:
    """Replicas that run; ``stop`` ends them, and Ray, where it was started for them."""

    def __init__(self, share: RayShare) -> None:
        self._share = share
        self._ray, self._serve = _ray()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._begun = not self._ray.is_initialized()
        try:
            if self._begun:
                self._ray.init(address=share.address, include_dashboard=False, log_to_driver=False)
        except (ConnectionError, RuntimeError) as e:
            raise ValueError(f"ray_address: {share.address} is no cluster of Ray ({sentence(e, 200)})") from e
        self._fits()
        self._serve.start(proxy_location="Disabled")

    def _fits(self) -> None:
        """ValueError where the cluster, as it is, can never hold the least number of replicas."""
        share, has = self._share, self._ray.cluster_resources()
        for what, each, flag in (("CPU", share.cpus, "cpus-per-replica"), ("GPU", share.gpus, "gpus-per-replica")):
            if share.least * each > has.get(what, 0.0) + 1e-6:
                self.stop()
                raise ValueError(
                    f"replicas: {share.least} of {each:g} {what} each need {share.least * each:g}, and Ray has "
                    f"{has.get(what, 0.0):g}; give fewer replicas, or less to each with --{flag}"
                )

    def deploy(self, spec: ReplicaSpec) -> None:
        """Start them and wait until the least number is there. ValueError, one sentence, where they cannot be opened."""
        share = self._share
        anywhere = share.address is not None
        options: dict[str, Any] = {"num_replicas": share.least}
        if share.most > share.least:
            options = {"autoscaling_config": self._scaling(spec.play.sessions)}
        deployment = self._serve.deployment(
            WorldReplica,
            name=DEPLOYMENT,
            ray_actor_options={"num_cpus": share.cpus, "num_gpus": share.gpus},
            health_check_period_s=_HEALTH,
            health_check_timeout_s=4 * _HEALTH,
            graceful_shutdown_timeout_s=GOODBYE + 5,
            max_constructor_retry_count=2,
            **options,
        )
        try:
            self._serve.run(deployment.bind(spec, anywhere), name=APP, route_prefix=None)
        except RuntimeError as e:
            raise ValueError(f"the replicas could not be opened ({sentence(self._why() or e, 300)})") from e

    def _scaling(self, places: int) -> Any:
        share, config = self._share, import_module("ray.serve.config")
        return config.AutoscalingConfig(
            min_replicas=share.least,
            max_replicas=share.most,
            initial_replicas=share.least,
            metrics_interval_s=1.0,
            look_back_period_s=_LOOK_BACK,
            upscale_delay_s=_UP,
            downscale_delay_s=share.down,
            policy=config.AutoscalingPolicy(
                policy_function=f"{OpenSessions.__module__}:{OpenSessions.__name__}",
                policy_kwargs={"places": places, "least": share.least, "most": share.most, "spare": share.spare},
            ),
        )

    def _why(self) -> str:
        app = self._serve.status().applications.get(APP)
        found = "" if app is None else " ".join(d.message for d in app.deployments.values())
        lines = [line for line in found.splitlines() if "Error: " in line]
        return lines[-1].partition("Error: ")[2] if lines else found

    def stop(self) -> None:
        """Let every replica keep its sessions and end."""
        if self._serve.status().applications.get(APP) is not None:
            self._serve.delete(APP)
        if self._begun and self._share.address is None:
            self._serve.shutdown()
            self._ray.shutdown()


def _ray() -> tuple[Any, Any]:
    try:
        return import_module("ray"), import_module("ray.serve")  # by their names: types are checked without them, too
    except ImportError as e:
        raise ValueError("serve needs the extra: pip install '.[ray]' in the checkout") from e
