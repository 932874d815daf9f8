# async-mirror in a container: /data is the source (mount it read-only), /state the state folder (keep it).
#
#   docker build -t async-mirror .
#   docker run -d --read-only -v "$PWD/site:/data:ro" -v state:/state \
#       -v "$HOME/.ftp-password:/run/secrets/ftp:ro" -e ASYNC_MIRROR_PASSWORD_FILE=/run/secrets/ftp \
#       -e ASYNC_MIRROR_DESTINATION=ftpes://me@ftp.example.org/www async-mirror
#
# Give options of `sync` as variables, e.g. ASYNC_MIRROR_EVERY=5m, so that the health check asks about the same mirror.
# It cannot know source, destination, state folder or configuration file if they are arguments.
# User 10001 must be able to read /data and the password file, and to write to /state.

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
    && install -d -m 700 -o async-mirror -g async-mirror /state
COPY --from=build /opt/async-mirror /opt/async-mirror
# Temporary files (e.g. a dry run's copy of the state) go to the only folder that is writable with --read-only.
ENV PATH=/opt/async-mirror/bin:$PATH \
    ASYNC_MIRROR_SOURCE=/data \
    ASYNC_MIRROR_STATE_DIR=/state \
    TMPDIR=/state
# /data is not created: a missing mount must be an error, not an empty folder to mirror.
VOLUME /state
WORKDIR /
USER 10001:10001
# Healthy only after the first complete pass, which can take long; unhealthy once a path has failed for an hour.
HEALTHCHECK --interval=1m --timeout=30s --start-period=15m --retries=3 CMD ["async-mirror", "healthcheck", "--strict-after", "1h"]
ENTRYPOINT ["async-mirror"]
CMD ["sync"]
