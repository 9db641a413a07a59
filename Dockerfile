# dimts in a container: the server by default, the page or any command by another one (see compose.yaml).
#
#   docker build -t dimts .                                                        CPU
#   docker build -t dimts:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 .
#   docker run --rm -v "$PWD:/data" dimts say "ሰላም ለዓለም።" -o selam.wav
FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=all
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
WORKDIR /opt/dimts
COPY pyproject.toml README.md LICENSE NOTICE requirements.lock ./
COPY src ./src
# the lock holds the extras at versions that were tested together; torch comes from the chosen index
RUN /opt/venv/bin/pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" \
    --constraint requirements.lock ".[$EXTRAS]"

FROM python:3.11-slim
# Ethiopic letters for the figures of reports
RUN apt-get update && apt-get install -y --no-install-recommends fonts-sil-abyssinica && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
RUN useradd --create-home --uid 1000 dimts && mkdir /data && chown dimts /data
USER dimts
WORKDIR /data
ENV PATH=/opt/venv/bin:$PATH HOME=/data DIMTS_CACHE=/data/cache NUMBA_CACHE_DIR=/data/cache/numba \
    PYTHONUNBUFFERED=1 PYTHONUTF8=1
VOLUME /data
EXPOSE 8000 7860
ENTRYPOINT ["dimts"]
# other addresses than this machine's own need keys: name:key lines in a file that its owner alone can read
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--api-key-file", "/run/secrets/keys"]
