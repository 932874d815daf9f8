# async-mirror in a container: /data is the source (mount it read-only), /state the state folder (keep it).
#
#   docker build -t async-mirror .
#   docker run -d --read-only -v "$PWD/site:/data:ro" -v state:/state \
#       -v "$HOME/.ftp-password:/run/secrets/ftp:ro" -e ASYNC_MIRROR_PASSWORD_FILE=/run/secrets/ftp \
#       -e ASYNC_MIRROR_DESTINATION=ftpes://me@ftp.example.org/www async-mirror
#
# For several mirrors mount a folder with async-mirror.toml at /config; contrib/compose.yaml and contrib/async-mirror.toml are
# an example. Each option of `sync` is a variable, too, e.g. ASYNC_MIRROR_EVERY=5m, which overrides the file for all mirrors.
# The health check asks about the same mirrors, unless arguments say otherwise.
# User 10001, or the one of --user, must be able to read /data and the password files. Its state is in a folder of its own
# in /state, where any user may create one.

ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
RUN python -m venv /opt/async-mirror
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY async_mirror async_mirror
RUN /opt/async-mirror/bin/python -m pip install --no-cache-dir --disable-pip-version-check '.[fast]' \
    && /opt/async-mirror/bin/python -m pip uninstall --yes pip

FROM ${PYTHON}
# The home folder does not exist, so no configuration file and no ~/.netrc is found by chance.
RUN groupadd --gid 10001 async-mirror \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin async-mirror \
    && install -d -m 1777 /state
COPY --from=build /opt/async-mirror /opt/async-mirror
COPY contrib/container.toml /config/async-mirror.toml
# Temporary files (e.g. a dry run's copy of the state) go to the only folder that is writable with --read-only.
ENV PATH=/opt/async-mirror/bin:$PATH \
    ASYNC_MIRROR_CONFIG=/config/async-mirror.toml \
    ASYNC_MIRROR_STATE_DIR=/state/async-mirror \
    TMPDIR=/state
# /data is not created: a missing mount must be an error, not an empty folder to mirror.
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
# Healthy while a first pass goes on, which may take hours; unhealthy once a path has failed for an hour.
HEALTHCHECK --interval=1m --timeout=30s --start-period=1m --retries=3 CMD ["async-mirror", "healthcheck", "--strict-after", "1h"]
ENTRYPOINT ["async-mirror"]
CMD ["sync"]
