# Two images:
#   docker build -t pokejax .                                      the service, on a CPU
#   docker build -t pokejax --build-arg ACCELERATOR=cuda .         … on an NVIDIA GPU
#   docker build -t pokejax-train --target train .                 data and training
# An ACCELERATOR is an extra of pyproject.toml that brings JAX for it.
# Each RUN is a target of the Makefile, so all of it can be tried without Docker. What
# was tested, and where: docs/deploy.md.
ARG PYTHON=3.11

# The full Python image brings make and git; nothing is installed from Debian.
FROM python:${PYTHON}-bookworm AS packages
WORKDIR /app
# First what changes seldom: packages are only fetched anew when these three change.
COPY Makefile pyproject.toml requirements.lock ./

FROM packages AS service-packages
ARG ACCELERATOR=
RUN make image-packages EXTRAS="server ${ACCELERATOR}"
COPY . .
RUN make image-code

FROM packages AS train
ARG ACCELERATOR=
RUN make image-packages EXTRAS="train data tensorboard ${ACCELERATOR}"
COPY . .
RUN make image-code
# Nothing but the volumes and /tmp need be writable.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 10001:10001
CMD ["make", "train", "IMAGES=/app/data/images", "DATASET=/app/data/pokemon-cifar-64"]

FROM python:${PYTHON}-slim-bookworm AS service
COPY --from=service-packages /app /app
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 10001:10001
EXPOSE 8000
# Compiling takes half a minute on a slow machine; until then it isn't ready.
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/api/v1/ready', timeout=4)"]
CMD ["python", "-m", "server", "--host", "0.0.0.0", "--port", "8000"]
