# async-mirror in a container: /data is mirrored (mount it read-only), /state is what it remembers (keep it).
#
#   docker build -t async-mirror .
#   docker run -d --read-only -v "$PWD/site:/data:ro" -v state:/state \
#       -v "$HOME/.ftp-password:/run/secrets/ftp:ro" -e ASYNC_MIRROR_PASSWORD_FILE=/run/secrets/ftp \
#       -e ASYNC_MIRROR_DESTINATION=ftpes://me@ftp.example.org/www async-mirror
#
# Several mirrors, or whatever else is to be said: mount a folder with async-mirror.toml at /config. contrib/compose.yaml and
# contrib/async-mirror.toml are an example. Each option of `sync` is a variable, too, ASYNC_MIRROR_EVERY=5m for one, which goes
# over the file, for all mirrors in it. The health check asks about the same mirrors, unless arguments say otherwise.
# The user has the number 10001, or the one that --user says: it has to be able to read /data and the passwords' files. What it
# remembers is in a folder of its own in /state, where any user may make one.

ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
RUN python -m venv /opt/async-mirror
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY async_mirror async_mirror
RUN /opt/async-mirror/bin/python -m pip install --no-cache-dir --disable-pip-version-check '.[fast]' \
    && /opt/async-mirror/bin/python -m pip uninstall --yes pip

FROM ${PYTHON}
# In a home of its own, which is not there, neither a configuration file nor a ~/.netrc is found by chance.
RUN groupadd --gid 10001 async-mirror \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin async-mirror \
    && install -d -m 1777 /state
COPY --from=build /opt/async-mirror /opt/async-mirror
COPY contrib/container.toml /config/async-mirror.toml
# Temporary files (a dry run's copy of the state is one) go where it may write although the rest is read-only.
ENV PATH=/opt/async-mirror/bin:$PATH \
    ASYNC_MIRROR_CONFIG=/config/async-mirror.toml \
    ASYNC_MIRROR_STATE_DIR=/state/async-mirror \
    TMPDIR=/state
# /data is not made: that nothing was mounted there shall be an error, and no empty folder to mirror.
VOLUME /state
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="async-mirror" \
    org.opencontainers.image.description="Keeps FTP sites identical to local folders, pass after pass" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
WORKDIR /
USER 10001:10001
# A first pass may take hours: it is healthy while it goes on. A path that fails for an hour is not.
HEALTHCHECK --interval=1m --timeout=30s --start-period=1m --retries=3 CMD ["async-mirror", "healthcheck", "--strict-after", "1h"]
ENTRYPOINT ["async-mirror"]
CMD ["sync"]
