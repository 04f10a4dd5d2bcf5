# syntax=docker/dockerfile:1
# Dayone as a container: any command of `dayone`, as a user without rights, writing to /data and nowhere else, so
# that it runs with a read-only root file system. Everything installed is pinned by hash in requirements.lock.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
RUN python -m venv /opt/dayone
ENV PATH=/opt/dayone/bin:$PATH
WORKDIR /source
# The libraries change less often than the code, so they are a layer of their own.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml dayone.py ./
COPY personas personas
COPY simulator simulator
COPY sinks sinks
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes pip \
    && python -m compileall -q /opt/dayone

FROM python:3.12-slim
LABEL org.opencontainers.image.title="Dayone" \
      org.opencontainers.image.description="Plays out the first months of a product that has no users yet"
# A fixed number, so that volumes belong to the same user on every machine and in every version.
RUN groupadd --gid 10001 dayone \
    && useradd --uid 10001 --gid dayone --home-dir /data --no-create-home --shell /usr/sbin/nologin dayone \
    && install --directory --owner=dayone --group=dayone /data
COPY --from=build /opt/dayone /opt/dayone
ENV PATH=/opt/dayone/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 9101 9102
# Both daemons answer on /health/ready, the simulator on port 9101 and the sink on 9102: one of them is enough.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD for port in 9101 9102; do \
    python -c "import sys, urllib.request as r; r.urlopen(f'http://127.0.0.1:{sys.argv[1]}/health/ready', timeout=2)" \
    "$port" 2>/dev/null && exit 0; done; exit 1
# SIGTERM makes both daemons drain: give them time with --stop-timeout (compose: stop_grace_period).
STOPSIGNAL SIGTERM
ENTRYPOINT ["dayone"]
CMD ["--help"]
